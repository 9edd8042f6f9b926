"""What is known of one agent in one environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Source = Literal["agent", "environment"]


@dataclass(frozen=True)
class Origin:
    """Where a value is written."""

    source: Source
    """Whether it is the agent's own file or the environment's."""
    file: str
    line: int | None
    value: Any

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Setting:
    """One value that the agent ends up with."""

    path: str
    """Dotted, as it would be written in the agent's file."""
    value: Any
    origin: Origin | None
    """None: nobody wrote it, it is the default."""
    overrides: Origin | None = None
    """What the agent's file says, where the environment says something else."""


@dataclass(frozen=True)
class ExplainedObject:
    """One Kubernetes object that is there for the agent."""

    kind: str
    name: str
    component: str
    """The type of the component that makes it: `Agent`, or what the agent uses or is reached through."""
    purpose: str
    """Empty where no part says one."""
    because: tuple[str, ...]
    """The fields that somebody wrote and that shape it; empty: every agent has one."""
    file: str
    """Its manifest in the folder that `agentstack preview` writes."""


@dataclass(frozen=True)
class Variable:
    """One environment variable of the agent's container, or the file of its name."""

    name: str
    value: str | None
    """None for one that is read elsewhere."""
    source: str
    """The object that holds it, or the field of the pod; then the folder, where it comes as a file."""


@dataclass(frozen=True)
class Explanation:
    """What one agent is in one environment."""

    agent: str
    environment: str
    settings: Sequence[Setting]
    objects: Sequence[ExplainedObject]
    variables: Sequence[Variable]
