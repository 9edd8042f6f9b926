"""The toy as a node, and who uses it as edges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from components.topology import STORE, USES, Edge, Node, NodeKind, agent_node, scraped

if TYPE_CHECKING:
    from settings import Settings

TOY: Final = NodeKind("toy", "toy", STORE, "hexagon")
NODE: Final = "toy"


def topology(settings: Settings) -> Iterator[Node | Edge]:
    """Yield the toy, and the agents that use it."""
    yield Node(NODE, TOY, "Toy", f"a box of {settings.toy.storage}", settings.namespaces.data.name)
    yield scraped(NODE)
    for name, agent in settings.agents.items():
        if "toy" in agent.used_parts:
            yield Edge(agent_node(name), NODE, USES)
