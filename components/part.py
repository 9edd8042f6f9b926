"""What the other rooms must know of a part of the stack, said once by the part itself. Imports no Pulumi."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """One part of the stack: a folder below `components` whose module `part` describes it, as `PART`."""

    name: str
    """The name of its folder."""
    section: str | None
    """The section of Pulumi.ENV.yaml that it is made from; None for the agents, which have files of their own."""
    types: tuple[str, ...]
    """The type tokens of its components, such as `agentstack:data:RedisCluster`."""
