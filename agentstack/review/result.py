"""What a change does in each environment, and the verdict on it."""

from __future__ import annotations

import contextlib
import pathlib
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from agentstack.compare.base import Base, checked_out
from agentstack.compare.changes import compare
from agentstack.compare.model import Change
from agentstack.compare.snapshot import Snapshot
from agentstack.output.document import Mark
from agentstack.output.exits import BAD_INPUT, is_bad_input
from agentstack.rendering.environment import Environment
from settings.errors import SettingsError

from .parts import DESTROYS, POLICIES, ReportPart, parts

_PRECEDENCE: Final = (BAD_INPUT, DESTROYS, POLICIES, 0)


@dataclass(frozen=True)
class Result:
    """What was found for one environment."""

    environment: str
    error: str | None = None
    """Why it cannot be rendered; what follows is empty then."""
    new: bool = False
    """Whether the base does not have it."""
    before: Snapshot | None = None
    after: Snapshot | None = None
    changes: tuple[Change, ...] = ()
    parts: tuple[ReportPart, ...] = ()

    @property
    def exit_code(self) -> int:
        """The exit code for this environment alone."""
        return BAD_INPUT if self.error is not None else _first(part.exit_code for part in self.parts)

    def verdict(self) -> tuple[str, Mark]:
        """Say in a few words what is to be thought of it."""
        match self.exit_code:
            case 2:
                return "cannot be rendered" if self.error is not None else "the engine cannot do it, or tell", "bad"
            case 3:
                return "destroys, not approved", "bad"
            case 1:
                return "policy errors", "bad"
        marked = [section for part in self.parts for section in part.sections if section.mark in ("bad", "warn")]
        if marked:
            return f"worth a look: {marked[0].title.partition(':')[0].lower()}", "warn"
        return ("fine" if self.changes else "nothing changes"), "good"


def exit_code(results: Iterable[Result]) -> int:
    """Return the exit code for all environments together."""
    return _first(result.exit_code for result in results)


def _first(codes: Iterable[int]) -> int:
    found = {*codes, 0}
    return next(code for code in _PRECEDENCE if code in found)


def review(
    project: pathlib.Path, environments: Sequence[str], revision: str, *, live: bool
) -> tuple[Base, list[Result]]:
    """Compare environments of the working tree with where HEAD left `revision`; with `live` ask the engine as well.

    Raises `SettingsError` where there is no such base; what is wrong with one environment is in its result.
    """
    with checked_out(project, revision) as base:
        results = []
        for number, name in enumerate(environments):
            try:
                environment = _environment(project, name, base)
                results.append(_result(base, environment, base.scratch / str(number), live=live))
            except Exception as error:
                if not is_bad_input(error):
                    raise
                results.append(Result(name, error=str(error)))
        return base, results


def _environment(project: pathlib.Path, name: str, base: Base) -> Environment:
    try:
        return Environment.find(project, name)
    except SettingsError as error:
        if not base.has(name):
            raise
        fix = f"run `pulumi destroy --stack {shlex.quote(name)}` first"
        raise SettingsError(f"{error}; the base, {base.title}, has it: {fix}") from None


def _result(base: Base, environment: Environment, folder: pathlib.Path, *, live: bool) -> Result:
    name = environment.name
    folder.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        # Both at the same time: the base in a process of its own.
        rendering = stack.enter_context(base.rendering(name, folder)) if base.has(name) else None
        after = Snapshot.rendered(environment)
        before = Snapshot(name, base.title, {}) if rendering is None else rendering.snapshot()
    changes = compare(before, after)
    found = tuple(parts(base, environment, before, after, changes, live=live))
    return Result(name, None, rendering is None, before, after, tuple(changes), found)
