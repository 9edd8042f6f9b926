"""What a picture shows: nodes and edges, without any format."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, get_args

NodeKind = Literal[
    "client", "gateway", "agent", "fleet", "job", "topic", "kafka", "redis", "model", "external", "observability"
]
EdgeKind = Literal["routes", "calls", "consumes", "produces", "uses", "inference", "egress", "observes", "scrapes"]

KIND_NAMES: Final[Mapping[NodeKind, str]] = {
    "client": "client",
    "gateway": "gateway",
    "agent": "agent",
    "fleet": "fleet",
    "job": "job",
    "topic": "Kafka topic",
    "kafka": "message broker",
    "redis": "store",
    "model": "model backend",
    "external": "destination",
    "observability": "monitor",
}
AGENTS: Final[frozenset[NodeKind]] = frozenset(("agent", "fleet", "job"))
_REPEATED: Final[frozenset[NodeKind]] = AGENTS | {"topic", "model", "external"}
"""What a stack may have any number of."""


@dataclass(frozen=True)
class Node:
    """One thing that is declared."""

    id: str
    """The same in every revision: `agent/orchestrator`, `topic/tasks`, `redis`."""
    kind: NodeKind
    label: str
    detail: str = ""
    """One line more: how many, how large, how long."""
    group: str = ""
    """The namespace; empty outside of the stack."""
    team: str = ""
    """Who owns it; empty where nobody said."""
    members: tuple[str, ...] = ()
    """The ids that it stands for, in a picture that is too large for all of them."""


@dataclass(frozen=True)
class Edge:
    """One flow, in the direction of requests or messages."""

    source: str
    target: str
    kind: EdgeKind
    label: str = ""
    """What flows: a route, keys, a model."""

    @property
    def key(self) -> tuple[str, str, str]:
        """Its identity in every revision."""
        return self.source, self.target, self.kind


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
        nodes = [{key: value for key, value in asdict(node).items() if key != "members"} for node in self.nodes]
        return {"nodes": nodes, "edges": [asdict(edge) for edge in self.edges]}

    @classmethod
    def from_json(cls, content: Any) -> Graph | None:
        """Read what `as_json` of this or another version wrote; None where that has no graph that can be read."""
        try:
            nodes = [Node(**_known(Node, node)) for node in content["nodes"] if node["kind"] in get_args(NodeKind)]
            edges = [Edge(**_known(Edge, edge)) for edge in content["edges"] if edge["kind"] in get_args(EdgeKind)]
        except (KeyError, TypeError):
            return None
        ids = {node.id for node in nodes}
        return cls(tuple(nodes), tuple(edge for edge in edges if {edge.source, edge.target} <= ids))

    def drawn(self) -> Graph:
        """Leave out what every picture would have: Prometheus scrapes everything."""
        return Graph(self.nodes, tuple(edge for edge in self.edges if edge.kind != "scrapes"))


def _known(kind: type[Node] | type[Edge], content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that this version knows; all of them are text."""
    return {key: str(value) for key, value in content.items() if key in kind.__dataclass_fields__ and key != "members"}


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
    # Agents first: what only differs by the agents that use it then becomes alike.
    for key in (alike, of_a_team, of_a_kind):
        for kinds in (AGENTS, _REPEATED - AGENTS):
            found, drawn_as = _merged(found, kinds, key)
            places = {node: drawn_as.get(place, place) for node, place in places.items()}
            if len(found.nodes) <= most:
                return found, places
    return found, places


def _merged(
    graph: Graph, kinds: Iterable[NodeKind], key: Callable[[Node, Mapping[str, frozenset[tuple[str, ...]]]], Hashable]
) -> tuple[Graph, dict[str, str]]:
    neighbours: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for edge in graph.edges:
        neighbours[edge.source].add(("to", edge.target, edge.kind))
        neighbours[edge.target].add(("from", edge.source, edge.kind))
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
        label=f"{number:,} {KIND_NAMES[first.kind]}s",
        detail=f"such as {members[0].partition('/')[2]}",
        members=members,
    )
