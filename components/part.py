"""What the other rooms must know of a part of the stack, said once by the part itself. Imports no Pulumi."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from settings import Settings

from .change import ChangeRule
from .purpose import Purpose
from .topology import Edge, Node, NodeKind


def _no_facts(_: Settings) -> Mapping[str, object]:
    return {}


@dataclass(frozen=True)
class Exporter:
    """A port on which pods of a part export metrics."""

    namespace: str
    """The namespace of the pods, by what it is for: `agents`, `data`, `observability` or `collectors`."""
    port: int


@dataclass(frozen=True)
class Part:
    """One part of the stack: a folder below `components` whose module `part` describes it, as `PART`.

    Prometheus loads the rules in `alerts/*.yml` of that folder, and Grafana shows `dashboards/*.json`.
    """

    name: str
    """The name of its folder."""
    section: str | None
    """The section of Pulumi.ENV.yaml that it is made from; None for the agents, which have files of their own."""
    types: tuple[str, ...]
    """The type tokens of its components, such as `agentstack:data:RedisCluster`."""
    exporters: tuple[Exporter, ...] = ()
    """What Prometheus connects to. Agents need none: a pod in their namespace may export on any port."""
    builder: str | None = None
    """What builds it, a `components.context.Builder`, as `MODULE:FUNCTION`: named only, since that imports Pulumi. None
    for the platform, which consists of the others."""
    facts: Callable[[Settings], Mapping[str, object]] = _no_facts
    """Returns what decides where data is, how much of it has room and how long it stays, by the path of the setting."""
    changes: tuple[ChangeRule, ...] = ()
    """Which changes of these facts are destructive."""

    node_kinds: tuple[NodeKind, ...] = ()
    """The kinds of its nodes in the graph."""
    topology: Callable[[Settings], Iterable[Node | Edge]] = lambda settings: ()
    """Its nodes in the graph of an environment, and the edges from and to them; never a secret."""
    node: str = ""
    """The id of the node that its objects are behind; empty where they are the whole stack's."""
    node_of_program: Mapping[str, str] = field(default_factory=dict)
    """The same for the objects of one of its programs, by the label `app.kubernetes.io/name`."""
    purposes: tuple[Purpose, ...] = ()
    """What those of its objects are for that are there for an agent; in the order of showing."""
    origins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Which fields of an agent's declaration decide a field of its objects, the likeliest first: by the path in the
    object, without indexes, and from `template` on where there is one."""
    custom_kinds: Mapping[str, str] = field(default_factory=dict)
    """The kinds of its custom resources, each with the kind of Kubernetes' own that plays the same part: files of both
    lie in one folder, and are applied together."""
