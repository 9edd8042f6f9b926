"""From validated settings to the graph of what they declare."""

from __future__ import annotations

from components.parts import PARTS
from components.topology import Edge, Node
from settings.root import Settings

from .model import Graph


def declared(settings: Settings) -> Graph:
    """Return the graph of an environment's settings. It holds names, numbers and hosts, and never a secret."""
    nodes: dict[str, Node] = {}
    edges: dict[tuple[str, str, str], Edge] = {}
    for part in reversed(PARTS):  # from the outside in: each part before those that it needs
        for item in part.topology(settings):
            if isinstance(item, Node):
                nodes.setdefault(item.id, item)
            else:
                edges.setdefault(item.key, item)
    return Graph(tuple(nodes.values()), tuple(edges.values()))
