"""The parts of the report on one environment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final, TypeAlias

from agentstack.compare import capacity, cost, described
from agentstack.compare.base import Base
from agentstack.compare.findings import Findings
from agentstack.compare.model import Change
from agentstack.compare.snapshot import Snapshot
from agentstack.drawing import difference as graphs
from agentstack.drawing import mermaid
from agentstack.engine import plan
from agentstack.impact import destructive, gates, rollouts
from agentstack.impact.model import DestructiveChange
from agentstack.live import reconcile
from agentstack.output.document import Section
from agentstack.output.exits import BAD_INPUT
from agentstack.output.published import Published
from agentstack.rendering.environment import Environment
from settings.errors import SettingsError

POLICIES: Final = 1
"""The exit code for errors of policies."""
DESTROYS: Final = 3
"""The exit code where something is destroyed that nobody approved."""

Content: TypeAlias = Published | Sequence[Published]


@dataclass(frozen=True)
class ReportPart:
    """One part of the report on one environment."""

    key: str
    """Its field of `EnvironmentReport`."""
    content: Content
    sections: tuple[Section, ...] = ()
    cell: tuple[str, str] | None = None
    """Its column in the table of verdicts, and what stands there."""
    exit_code: int = 0


def parts(
    base: Base, environment: Environment, before: Snapshot, after: Snapshot, changes: Sequence[Change], *, live: bool
) -> Iterator[ReportPart]:
    """Yield the parts, the most important ones first; with `live` what the engine says of the change is one."""
    today = datetime.now(UTC).date()
    destroyed = destructive.destructive_changes(before, after, today=today)
    if live:
        yield _live(environment, after, changes, destroyed, today)
    yield _destroyed(before, after, destroyed)
    if base.has(environment.name):
        found = gates.gate_changes(before, after, base.project, environment.project)
        yield ReportPart("gates", gates.published(found), _present(gates.section(found, base.programs)))
    findings = Findings.of(before, after, changes)
    failed = POLICIES if after.summary.failed else 0
    cell = ("findings", findings.summary())
    yield ReportPart("policies", findings.published(), _present(findings.section()), cell, failed)
    rolled = rollouts.rollouts(before, after, changes)
    restarts = sum(rollout.action in ("restarts", "interrupts") for rollout in rolled)
    yield ReportPart("rollouts", rollouts.published(rolled), (rollouts.section(rolled),), ("restarts", str(restarts)))
    costs = cost.compare(before, after)
    yield ReportPart("cost", cost.published(costs), _present(cost.section(costs)), ("a month", cost.cell(costs)))
    yield ReportPart("capacity", capacity.published(before, after), _present(capacity.section(before, after)))
    picture = mermaid.section(before, after, changes)
    yield ReportPart("graph", graphs.published(graphs.difference(before, after, changes)), _present(picture))
    number = Counter(change.action for change in changes)
    objects = f"+{number['added']} -{number['removed']} ~{number['changed'] + number['renamed']}"
    yield ReportPart("changes", described.published(changes), tuple(described.sections(changes)), ("objects", objects))


def _destroyed(before: Snapshot, after: Snapshot, found: Sequence[DestructiveChange]) -> ReportPart:
    notes = [*destructive.unused(found, before, after), *destructive.unjudged(before)]
    serious = sum(each.severity != "harmless" for each in found)
    refused = sum(not each.approved for each in found)
    cell = f"{serious}, {refused} not approved" if refused else str(serious)
    return ReportPart(
        "destructive_changes",
        destructive.published(found),
        (destructive.section(found, notes),),
        ("destroys", cell),
        DESTROYS if refused else 0,
    )


def _live(
    environment: Environment,
    after: Snapshot,
    changes: Sequence[Change],
    destroyed: Sequence[DestructiveChange],
    today: date,
) -> ReportPart:
    try:
        answer = plan.preview(environment)
    except SettingsError as error:
        unknown = reconcile.UnknownLive(error=str(error))
        return ReportPart("live", unknown, (reconcile.unknown(str(error)),), ("live", "unknown"), BAD_INPUT)
    found = reconcile.reconcile(answer, after, changes, destroyed, today=today)
    code = BAD_INPUT if found.refusals else DESTROYS if found.needs_approval else 0
    return ReportPart(
        "live", reconcile.published(found), (reconcile.section(found),), ("live", reconcile.summary(found)), code
    )


def _present(section: Section | None) -> tuple[Section, ...]:
    return () if section is None else (section,)
