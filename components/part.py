"""What the other rooms must know of a part of the stack, said once by the part itself. Imports no Pulumi."""

from __future__ import annotations

from dataclasses import dataclass


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
