"""The workflows as one node, and the agents that read them as edges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from components.topology import STORE, USES, Edge, Node, NodeKind, agent_node

if TYPE_CHECKING:
    from settings import Settings

WORKFLOWS: Final = NodeKind("workflows", "workflow set", STORE, "flag")
NODE: Final = "workflows"


def topology(settings: Settings) -> Iterator[Node | Edge]:
    """Yield the workflows, where an agent uses them."""
    users = [name for name, agent in settings.agents.items() if "workflows" in agent.used_parts]
    if users:
        yield Node(NODE, WORKFLOWS, "Workflows", ", ".join(settings.workflows), settings.namespaces.agents.name)
    for name in users:
        yield Edge(agent_node(name), NODE, USES)
