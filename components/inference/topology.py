"""What answers model calls as nodes, and who asks it as edges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from components.topology import INFERENCE, MODEL, Edge, Node, NodeKind, agent_node, count, scraped
from settings.inference import IN_PROCESS

if TYPE_CHECKING:
    from settings import Inference, Settings

BACKEND: Final = NodeKind("model", "model backend", MODEL, "pill", repeated=True)
NODE: Final = "model-server"


def topology(settings: Settings) -> Iterator[Node | Edge]:
    """Yield the stack's own server, the backends elsewhere, and the agents that ask them for which model."""
    own = settings.inference
    if own.runs is not None:
        size = count(own.runs.replicas, "pod")
        if own.runs.gpus:
            size += f", {count(own.runs.gpus, 'GPU')} each"
        yield Node(NODE, BACKEND, f"{own.backend}", size, settings.namespaces.agents.name)
        yield scraped(NODE)
    for name, agent in settings.agents.items():
        used = agent.inference
        if used is None or used.backend in IN_PROCESS:
            continue
        model = str(used.model)
        if own.runs is not None and (used.backend, used.endpoint) == (own.backend, None):
            yield Edge(agent_node(name), NODE, INFERENCE, model)
        else:
            node = _hosted(used)
            yield node
            yield Edge(agent_node(name), node.id, INFERENCE, model)


def _hosted(used: Inference) -> Node:
    host = str(urlsplit(str(used.url)).netloc)
    return Node(f"model/{used.backend}/{host}", BACKEND, str(used.backend), host)
