"""A change as published: diff.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from agentstack.compare.base import Base
from agentstack.compare.capacity import CapacityChange
from agentstack.compare.cost import CostChange
from agentstack.compare.described import ChangeReport
from agentstack.compare.findings import FindingsReport
from agentstack.drawing.difference import GraphChange
from agentstack.impact.destructive import DestructiveChangeReport
from agentstack.impact.gates import GateReport
from agentstack.impact.rollouts import RolloutReport
from agentstack.live.reconcile import LiveReport, UnknownLive
from agentstack.output.published import Published

from .result import Result, exit_code


def _is_none(value: Any) -> bool:
    return value is None


def _part(alias: str | None = None) -> Any:
    return Field(None, alias=alias, exclude_if=_is_none)


class BaseReport(Published):
    """What the working tree is compared with."""

    revision: str
    """As asked for, such as `main`."""
    commit: str
    """Where HEAD left it."""
    other_packages: bool
    """Whether its requirements.txt differs."""


class EnvironmentReport(Published):
    """What the change does in one environment. The parts are left out where it cannot be rendered."""

    environment: str
    verdict: str
    exit_code: int
    error: str | None
    """Why it cannot be rendered; `null` if it can."""
    new: bool
    """Whether the base does not have it."""
    live: LiveReport | UnknownLive | None = _part()
    """What only the live state knows; left out without --live."""
    destructive_changes: tuple[DestructiveChangeReport, ...] | None = _part("losses")
    """What it destroys."""
    gates: tuple[GateReport, ...] | None = _part("steering")
    """What it alters of that by which changes are judged and deployed; left out of an environment that is new."""
    policies: FindingsReport | None = _part()
    rollouts: tuple[RolloutReport, ...] | None = _part()
    cost: CostChange | None = _part()
    capacity: tuple[CapacityChange, ...] | None = _part()
    graph: GraphChange | None = _part()
    changes: tuple[ChangeReport, ...] | None = _part()


class DiffReport(Published):
    """What `agentstack diff --json` prints."""

    version: Literal[1] = 1
    """Of the form of this document; fields may be added without another."""
    base: BaseReport
    gone: tuple[str, ...]
    """The environments whose file the change removes."""
    programs: tuple[str, ...]
    """The files that differ of the programs that judge."""
    exit_code: int
    environments: tuple[EnvironmentReport, ...]


def published(base: Base, results: Sequence[Result]) -> DiffReport:
    """Return a change as published."""
    return DiffReport(
        base=BaseReport(revision=base.revision, commit=base.commit, other_packages=base.other_packages),
        gone=base.gone,
        programs=base.programs,
        exit_code=exit_code(results),
        environments=tuple(map(_environment, results)),
    )


def _environment(result: Result) -> EnvironmentReport:
    parts: dict[str, Any] = {part.key: part.content for part in result.parts}
    return EnvironmentReport(
        environment=result.environment,
        verdict=result.verdict()[0],
        exit_code=result.exit_code,
        error=result.error,
        new=result.new,
        **parts,
    )
