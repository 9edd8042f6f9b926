"""What a picture of the stack is made of: nodes and edges, and the few roles, shapes and colours that they have.

Each part declares its own with it (`Part.topology`). Imports no Pulumi.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Shape = Literal["box", "pile", "slanted", "flag", "cylinder", "pill", "hexagon"]
Colour = Literal["request", "message", "state", "model", "workload", "plain"]


@dataclass(frozen=True)
class Role:
    """What a node is to the agents; it decides where the node stands, under which title, and its colour."""

    title: str
    column: Literal[0, 1, 2]
    """From the left: what comes to the agents, the agents, what they stand on."""
    colour: Colour


ENTRY: Final = Role("way in", 0, "request")
BROKER: Final = Role("messages", 0, "message")
WORKLOAD: Final = Role("agents", 1, "workload")
MODEL: Final = Role("models", 2, "model")
STORE: Final = Role("state", 2, "state")
OUTSIDE: Final = Role("outside", 2, "plain")
MONITOR: Final = Role("observability", 2, "plain")
ROLES: Final = (ENTRY, BROKER, WORKLOAD, MODEL, STORE, OUTSIDE, MONITOR)
"""In the order of showing, from the top of each column."""


@dataclass(frozen=True)
class NodeKind:
    """One kind of node, declared by the part that has nodes of it."""

    name: str
    """The same in every version: older revisions are read by it."""
    title: str
    """One of them as people call it; with an `s` for several."""
    role: Role
    shape: Shape
    repeated: bool = False
    """Whether a stack may have any number of them."""


@dataclass(frozen=True)
class Flow:
    """What flows along an edge, to the eye."""

    title: str
    """In the legend."""
    colour: Colour
    dotted: bool
    """For what agents stand on; requests and messages are drawn through."""


REQUESTS: Final = Flow("requests", "request", dotted=False)
MESSAGES: Final = Flow("messages", "message", dotted=False)
STATE: Final = Flow("state", "state", dotted=True)
MODEL_CALLS: Final = Flow("model calls", "model", dotted=True)
OTHER: Final = Flow("outside, metrics", "plain", dotted=True)
FLOWS: Final = (REQUESTS, MESSAGES, STATE, MODEL_CALLS, OTHER)
"""In the order of the legend."""


@dataclass(frozen=True)
class EdgeKind:
    """One kind of edge; there are few, so that a picture can be read."""

    name: str
    """The same in every version: older revisions are read by it."""
    flow: Flow
    active: str
    """What its source does, before the name of its target."""
    passive: str
    """What its target does, before the name of its source."""
    drawn: bool = True
    """Whether pictures show it, and not the page's lists alone."""


ROUTES: Final = EdgeKind("routes", REQUESTS, "routes to", "gets requests from")
CALLS: Final = EdgeKind("calls", REQUESTS, "calls", "is called by")
PRODUCES: Final = EdgeKind("produces", MESSAGES, "produces", "is produced by")
CONSUMES: Final = EdgeKind("consumes", MESSAGES, "is consumed by", "consumes")
USES: Final = EdgeKind("uses", STATE, "uses", "is used by")
INFERENCE: Final = EdgeKind("inference", MODEL_CALLS, "asks", "answers")
EGRESS: Final = EdgeKind("egress", OTHER, "connects to", "is reached by")
OBSERVES: Final = EdgeKind("observes", OTHER, "sends to or asks", "hears from")
SCRAPES: Final = EdgeKind(
    "scrapes", OTHER, "scrapes", "is scraped by", drawn=False
)  # nearly everything: too many lines
EDGE_KINDS: Final = (ROUTES, CALLS, PRODUCES, CONSUMES, USES, INFERENCE, EGRESS, OBSERVES, SCRAPES)


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
        return self.source, self.target, self.kind.name


EXTERNAL: Final = NodeKind("external", "destination", OUTSIDE, "pill", repeated=True)
"""A place outside of the stack, which agents and parts connect to."""


def agent_node(name: str) -> str:
    """Return the id of an agent's node: most parts declare an edge to it or from it."""
    return f"agent/{name}"


def external_node(place: str) -> str:
    """Return the id of the node of a place outside of the stack, such as `api.example.com:443`."""
    return f"external/{place}"


def scraped(node: str) -> Edge:
    """Return the edge by which the stack's Prometheus gets the metrics of a node."""
    return Edge("prometheus", node, SCRAPES)


def count(number: int, noun: str) -> str:
    """Write a number of things, as details do: `1 pod`, `3 pods`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
