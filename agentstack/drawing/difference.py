"""Two graphs in one: what a change adds, removes and touches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from agentstack.compare.model import Change
from agentstack.compare.snapshot import Object, Snapshot
from agentstack.graph.model import Graph, condensed
from agentstack.output.published import Published
from components.parts import PARTS
from components.topology import agent_node

State = Literal["added", "removed", "changed", "same"]
_TOUCHED: Final[tuple[State, ...]] = ("added", "changed", "removed")
SIGNS: Final[Mapping[State, str]] = {"added": "+", "removed": "\u2212", "changed": "~", "same": ""}
"""How a state is said without colour."""

STACK: Final = "stack"
"""The node of objects that belong to no part alone, such as namespaces and their quotas; it is not drawn."""

_PARTS: Final = {name: part for part in PARTS for name in (*part.types, part.name)}
"""By the types of their components; and by name, as what several parts have, such as a preflight, is named."""


@dataclass(frozen=True)
class Difference:
    """The graph of both revisions together, and how each part of it fares."""

    graph: Graph
    nodes: Mapping[str, State]
    edges: Mapping[tuple[str, str, str], State]

    @property
    def touched(self) -> bool:
        """Whether any node or edge is not the same."""
        return any(state != "same" for state in (*self.nodes.values(), *self.edges.values()))

    def around(self, *, neighbours: bool) -> Difference:
        """Return what is not the same as it is drawn, with the ends of its edges and the `neighbours` of its nodes."""
        edges = self.graph.drawn().edges
        own = {name for name, state in self.nodes.items() if state != "same"}
        touched = {edge.key for edge in edges if self.edges[edge.key] != "same"}
        near = [edge for edge in edges if edge.key in touched or (neighbours and own & {edge.source, edge.target})]
        kept = own | {end for edge in near for end in (edge.source, edge.target)}
        shown = [
            edge
            for edge in edges
            if {edge.source, edge.target} <= kept and (edge.key in touched or own & {edge.source, edge.target})
        ]
        return Difference(
            Graph(tuple(node for node in self.graph.nodes if node.id in kept), tuple(shown)),
            {name: state for name, state in self.nodes.items() if name in kept},
            {edge.key: self.edges[edge.key] for edge in shown},
        )


def unchanged(graph: Graph) -> Difference:
    """Return a graph as it is, without anything to compare it with."""
    same: State = "same"
    return Difference(graph, {node.id: same for node in graph.nodes}, {edge.key: same for edge in graph.edges})


def difference(before: Snapshot | None, after: Snapshot, changes: Sequence[Change] = ()) -> Difference:
    """Compare the graphs of two revisions; without `before`, everything is the same.

    A node has changed where it or one of its objects has. Of a revision that is too old to have a graph, only that
    is known.
    """
    new = graph_of(after)
    old = graph_of(before) if before is not None else new
    if old is None or new is None:
        old = new = new or old or Graph()
    merged = _merged(old, new)
    ids = {node.id for node in merged.nodes}
    touched = {owner(change.object, ids) for change in changes}
    old_nodes, new_nodes = ({node.id: node for node in graph.nodes} for graph in (old, new))
    old_edges, new_edges = ({edge.key: edge for edge in graph.edges} for graph in (old, new))
    return Difference(
        merged,
        {node.id: _state(node.id, old_nodes, new_nodes, node.id in touched) for node in merged.nodes},
        {edge.key: _state(edge.key, old_edges, new_edges) for edge in merged.edges},
    )


class EdgeName(Published):
    """A flow."""

    source: str
    target: str
    kind: str


class StatedNodes(Published):
    """The ids of nodes that are not the same."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]


class StatedEdges(Published):
    """The flows that are not the same."""

    added: tuple[EdgeName, ...]
    changed: tuple[EdgeName, ...]
    removed: tuple[EdgeName, ...]


class GraphChange(Published):
    """What of the graph is not the same."""

    nodes: StatedNodes
    edges: StatedEdges


def published(found: Difference) -> GraphChange:
    """Return what is not the same as published."""
    nodes = {state: tuple(node.id for node in found.graph.nodes if found.nodes[node.id] == state) for state in _TOUCHED}
    edges = {
        state: tuple(
            EdgeName(source=source, target=target, kind=kind)
            for (source, target, kind), stated in found.edges.items()
            if stated == state
        )
        for state in _TOUCHED
    }
    return GraphChange(nodes=StatedNodes(**nodes), edges=StatedEdges(**edges))


def condense(found: Difference, most: int) -> Difference:
    """Return a difference of at most about `most` nodes: those that are alike, and fare alike, are one."""
    graph, drawn_as = condensed(found.graph.drawn(), most, found.nodes)
    states: dict[tuple[str, str, str], set[State]] = defaultdict(set)
    for edge in found.graph.edges:
        states[drawn_as[edge.source], drawn_as[edge.target], edge.kind.name].add(found.edges[edge.key])
    return Difference(
        graph,
        {drawn_as[name]: state for name, state in found.nodes.items()},
        # Of several edges that are drawn as one, some may stay.
        {edge.key: min(states[edge.key]) if len(states[edge.key]) == 1 else "changed" for edge in graph.edges},
    )


_Key = TypeVar("_Key")


def _state(key: _Key, old: Mapping[_Key, object], new: Mapping[_Key, object], touched: bool = False) -> State:
    if key not in old:
        return "added"
    if key not in new:
        return "removed"
    return "changed" if touched or old[key] != new[key] else "same"


def _merged(old: Graph, new: Graph) -> Graph:
    """Return everything that either has, as the new one has it."""
    nodes = {node.id: node for node in new.nodes}
    edges = {edge.key: edge for edge in new.edges}
    return Graph(
        (*new.nodes, *(node for node in old.nodes if node.id not in nodes)),
        (*new.edges, *(edge for edge in old.edges if edge.key not in edges)),
    )


def graph_of(snapshot: Snapshot) -> Graph | None:
    """Return the graph of a revision, empty without any object; None for one that is too old to say it."""
    found = snapshot.summary.graph
    return Graph() if found is None and not snapshot.objects else found


def owner(thing: Object, ids: Collection[str]) -> str:
    """Return the node of `ids` that an object belongs to; `STACK` where it is no node's alone."""
    return next((node for node in _owner(thing) if node in ids), STACK)


def _owner(thing: Object) -> Iterator[str]:
    """Yield the nodes that an object may belong to, the nearest first."""
    labels = thing.manifest["metadata"].get("labels") or {}
    kind, _, name = thing.key
    program = str(labels.get("app.kubernetes.io/name", ""))
    if thing.agent is not None:
        yield agent_node(thing.agent)
    if kind == "Secret":  # a login at a store or broker is named after the agent that has it
        yield agent_node(name.rpartition(".")[0])
    for component, component_name in reversed(thing.within):
        if part := _PARTS.get(component) or _PARTS.get(component_name):
            yield part.node_of_program.get(program or name, part.node)
    yield agent_node(program)
