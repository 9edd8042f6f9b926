"""All nodes and edges that a picture shows, without any format."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from components.parts import PARTS
from components.topology import EDGE_KINDS, EXTERNAL, WORKLOAD, Edge, Node, NodeKind

NODE_KINDS: Final = {kind.name: kind for kind in (EXTERNAL, *(kind for part in PARTS for kind in part.node_kinds))}
_EDGE_KINDS: Final = {kind.name: kind for kind in EDGE_KINDS}


@dataclass(frozen=True)
class Graph:
    """Everything that one revision of an environment declares, in an order that only depends on it."""

    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it as the key `graph` of `agentstack preview --json`.

        `nodes`: `id`, `kind`, `label`, `detail`, `group` (namespace), `team`; `edges`: `source`, `target`, `kind`,
        `label`.
        """
        nodes = [
            {
                "id": node.id,
                "kind": node.kind.name,
                "label": node.label,
                "detail": node.detail,
                "group": node.group,
                "team": node.team,
            }
            for node in self.nodes
        ]
        edges = [
            {"source": edge.source, "target": edge.target, "kind": edge.kind.name, "label": edge.label}
            for edge in self.edges
        ]
        return {"nodes": nodes, "edges": edges}

    @classmethod
    def from_json(cls, content: Any) -> Graph | None:
        """Read what `as_json` of this or another version wrote; None where that has no graph that can be read."""
        try:
            nodes = [_node(node) for node in content["nodes"] if node["kind"] in NODE_KINDS]
            edges = [_edge(edge) for edge in content["edges"] if edge["kind"] in _EDGE_KINDS]
        except (KeyError, TypeError):
            return None
        ids = {node.id for node in nodes}
        return cls(tuple(nodes), tuple(edge for edge in edges if {edge.source, edge.target} <= ids))

    def drawn(self) -> Graph:
        """Leave out the edges that only lists show."""
        return Graph(self.nodes, tuple(edge for edge in self.edges if edge.kind.drawn))


def _node(content: Mapping[str, Any]) -> Node:
    detail, group, team = (str(content.get(key, "")) for key in ("detail", "group", "team"))
    return Node(str(content["id"]), NODE_KINDS[content["kind"]], str(content["label"]), detail, group, team)


def _edge(content: Mapping[str, Any]) -> Edge:
    source, target = str(content["source"]), str(content["target"])
    return Edge(source, target, _EDGE_KINDS[content["kind"]], str(content.get("label", "")))


def condensed(graph: Graph, most: int, states: Mapping[str, str]) -> tuple[Graph, Mapping[str, str]]:
    """Return a graph of at most about `most` nodes, and for each node of `graph` the one that it is drawn as.

    `states` says how each node fares. Where there are too many, those of one kind, team and state that have the same
    neighbours become one; then all of one kind, team and state; then all of one kind and state.
    """
    places = {node.id: node.id for node in graph.nodes}
    if len(graph.nodes) <= most:
        return graph, places

    def state(node: Node) -> str:
        return states[(node.members or (node.id,))[0]]

    def alike(node: Node, neighbours: Mapping[str, frozenset[tuple[str, ...]]]) -> Hashable:
        return node.kind, node.group, node.team, state(node), neighbours[node.id]

    def of_a_team(node: Node, _: object) -> Hashable:
        return node.kind, node.group, node.team, state(node)

    def of_a_kind(node: Node, _: object) -> Hashable:
        return node.kind, node.group, state(node)

    found = graph
    repeated = {kind for kind in NODE_KINDS.values() if kind.repeated}
    agents = {kind for kind in repeated if kind.role is WORKLOAD}
    # Agents first: what only differs by the agents that use it then becomes alike.
    for key in (alike, of_a_team, of_a_kind):
        for kinds in (agents, repeated - agents):
            found, drawn_as = _merged(found, kinds, key)
            places = {node: drawn_as.get(place, place) for node, place in places.items()}
            if len(found.nodes) <= most:
                return found, places
    return found, places


def _merged(
    graph: Graph, kinds: Collection[NodeKind], key: Callable[[Node, Mapping[str, frozenset[tuple[str, ...]]]], Hashable]
) -> tuple[Graph, dict[str, str]]:
    neighbours: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for edge in graph.edges:
        neighbours[edge.source].add(("to", edge.target, edge.kind.name))
        neighbours[edge.target].add(("from", edge.source, edge.kind.name))
    frozen = {node.id: frozenset(neighbours[node.id]) for node in graph.nodes}
    alike: dict[Hashable, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        alike[key(node, frozen) if node.kind in kinds else node.id].append(node)
    nodes: list[Node] = []
    drawn_as: dict[str, str] = {}
    for same in alike.values():
        one = same[0] if len(same) == 1 else _one_for(same)
        nodes.append(one)
        drawn_as |= {node.id: one.id for node in same}
    edges: dict[tuple[str, str, str], Edge] = {}
    for edge in graph.edges:
        moved = replace(edge, source=drawn_as[edge.source], target=drawn_as[edge.target])
        if moved.source != moved.target or edge.source == edge.target:
            known = edges.setdefault(moved.key, moved)
            if known.label != moved.label:
                edges[moved.key] = replace(known, label="")
    return Graph(tuple(nodes), tuple(edges.values())), drawn_as


def _one_for(nodes: list[Node]) -> Node:
    members = tuple(member for node in nodes for member in node.members or (node.id,))
    first, number = nodes[0], len(members)
    return replace(
        first,
        id=f"group/{members[0]}",
        label=f"{number:,} {first.kind.title}s",
        detail=f"such as {members[0].partition('/')[2]}",
        members=members,
    )
