"""What a change destroys, with the approvals: what the engine or the API server deletes, replaces, or lets go of.

Decided from two renderings: of objects, random values and providers by the rules of the engine (`.replacements`), of
settings by the platform's own guard (`components.platform.guard`). What only the cluster knows, such as drift, is not
seen here; nor are the values of secrets.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Final

from agentstack.compare.model import FieldChange, or_null, side_text
from agentstack.compare.snapshot import Snapshot
from agentstack.output.document import Block, Code, Fenced, Fold, Line, Lines, Section, Table
from agentstack.output.published import Published
from components.change import Cost
from components.platform import guard
from manifests.text import nearest
from settings.approvals import ApprovedReplacement

from .consequences import PROTECT_DATA
from .model import DestructiveChange, Severity
from .replacements import lifts, of_objects, pairs
from .resources import of_resources

_ORDER: Final[tuple[Severity, ...]] = ("data lost", "protection lost", "downtime", "refused", "harmless")
_OF_COST: Final[Mapping[Cost, Severity]] = {
    "data": "data lost",
    "protection": "protection lost",
    "availability": "downtime",
}
_DATA: Final = "docs/data.md"
_LONGEST: Final = 60
_MOST_NAMES: Final = 3
"""With more harmless replacements of one sort, the rest is counted: the changes name them all."""


def destructive_changes(before: Snapshot, after: Snapshot, *, today: date) -> list[DestructiveChange]:
    """Return what the change from `before` to `after` destroys, the worst first, with the approvals of `after`.

    `today` is the day, in UTC, by which approvals expire. What a revision is too old to say is not judged.
    """
    found = [*_of_settings(before, after), *of_objects(before, after), *of_resources(before, after)]
    return judged(found, after, today=today)


def judged(found: Iterable[DestructiveChange], after: Snapshot, *, today: date) -> list[DestructiveChange]:
    """Return destructive changes with the approvals of `after`, the worst first."""
    granted = after.summary.approvals.approved_replacements
    found = [_judged(destroyed, granted, today) for destroyed in found]
    return sorted(
        found, key=lambda destroyed: (destroyed.approved, _ORDER.index(destroyed.severity), destroyed.resource)
    )


def unused(found: Iterable[DestructiveChange], before: Snapshot, after: Snapshot) -> list[str]:
    """Return a line for each approval of `after` that approves none of `found`, so that it gets removed."""
    needed = {destroyed.resource for destroyed in found if destroyed.needs_approval}
    lines = []
    for entry in after.summary.approvals.approved_replacements:
        if entry.resource not in needed:
            meant = nearest(entry.resource, needed, "remove it") if needed else ": remove it"
            lines.append(f"platform.safeguards.approvedReplacements: nothing of `{entry.resource}` is destroyed{meant}")
    changes = {change.change for change in guard.destructive_changes(before.facts, after.facts)}
    lines += [
        f"platform.safeguards.accept: `{entry}` is none of this change: remove it"
        for entry in after.summary.approvals.accept
        if entry not in changes
    ]
    return lines


def _judged(destroyed: DestructiveChange, granted: Iterable[ApprovedReplacement], today: date) -> DestructiveChange:
    if not destroyed.needs_approval or destroyed.approval:
        return destroyed
    for grant in sorted(
        (grant for grant in granted if grant.resource == destroyed.resource), key=lambda grant: grant.until
    ):
        if grant.until >= today:
            return replace(destroyed, approval=f"approved until {grant.until}: {grant.reason}", expired="")
        destroyed = replace(destroyed, expired=f"the approval ended on {grant.until}: {grant.reason}")
    return destroyed


# --- settings ---


def _of_settings(before: Snapshot, after: Snapshot) -> Iterator[DestructiveChange]:
    accepted = after.summary.approvals.accept
    for change in guard.destructive_changes(before.facts, after.facts):
        rule, let_through = change.kind, change.accepted(accepted)
        refused = "" if let_through or not rule.refused else "the engine refuses it before anything changes: "
        unprotected = _unprotected_by_setting(before, after) if change.path == PROTECT_DATA else ""
        yield DestructiveChange(
            change.path,
            _OF_COST[rule.costs],
            (FieldChange(change.path, change.before, change.after),),
            f"{refused}{rule.reason}{unprotected}",
            rule.way if let_through else change.way,
            rule.section,
            needs_approval=True,
            approval="accepted by platform.safeguards.accept" if let_through else "",
            accept=change.change if refused and rule.acceptable else "",
        )


def _unprotected_by_setting(before: Snapshot, after: Snapshot) -> str:
    names = [old.title for old, new in pairs(before, after) if new is not None and any(lifts(old, new))]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f" ({shown})" if names else ""


# --- report ---


def unjudged(before: Snapshot) -> list[str]:
    """Say what cannot be compared with a revision whose own code did not report it yet."""
    if not before.objects or "facts" in before.summary.model_fields_set:
        return []
    return [
        "The base is older than what it is compared by: changes of settings that hold data (shards, brokers, "
        "partitions, retention) and of what the engine alone knows are not judged here, but by `pulumi preview`."
    ]


def section(found: Sequence[DestructiveChange], notes: Sequence[str] = ()) -> Section:
    """Return the part of the document about what is destroyed: what needs an approval first, the harmless folded."""
    serious = [destroyed for destroyed in found if destroyed.severity != "harmless"]
    harmless = [destroyed for destroyed in found if destroyed.severity == "harmless"]
    blocks: list[Block] = []
    if serious:
        headers = ("", "change", "what happens, and what keeps it", "approval")
        blocks.append(Table(headers, tuple(_row(alike) for alike in _alike(serious))))
    missing = [destroyed for destroyed in serious if not destroyed.approved]
    if missing:
        blocks += _how_to_approve(missing)
    if notes:
        blocks.append(Lines(tuple(notes), "warn"))
    if harmless:
        rows = tuple((_what(alike, most=_MOST_NAMES), alike[0].consequence) for alike in _alike(harmless))
        title = f"{len(harmless)} harmless replacement{'s' if len(harmless) > 1 else ''}"
        blocks.append(Fold(title, (Table(("change", "what happens"), rows),)))
    if not blocks:
        blocks.append(Lines(("Nothing is lost, and nothing recreated.",), "good"))
    return Section("What it destroys", tuple(blocks), "bad" if missing else "warn" if serious or notes else "good")


def _alike(found: Iterable[DestructiveChange]) -> Iterable[Sequence[DestructiveChange]]:
    """Put together what differs in nothing but the object, such as all in a namespace that is renamed."""
    groups: dict[str, list[DestructiveChange]] = {}
    for destroyed in found:
        groups.setdefault(repr(replace(destroyed, resource="")), []).append(destroyed)
    return groups.values()


def _row(alike: Sequence[DestructiveChange]) -> tuple[Line, ...]:
    destroyed = alike[0]
    happens = destroyed.consequence
    if destroyed.way:
        happens += f". What keeps it: {destroyed.way}" + (
            f" ({_DATA}#{destroyed.section})" if destroyed.section else ""
        )
    approval = destroyed.approval or (f"missing; {destroyed.expired}" if destroyed.expired else "missing")
    return destroyed.severity, _what(alike), happens, approval if destroyed.needs_approval else "not needed"


def _what(alike: Sequence[DestructiveChange], most: int | None = None) -> Line:
    """Name the objects, `most` of them if given, and the fields that cause it; of a setting the field alone."""
    destroyed = alike[0]
    shown = [
        Code(change.path if change.kind in ("secret", "text") else f"{change.path}: {_change(change)}")
        for change in destroyed.what[:3]
    ]
    if [change.path for change in destroyed.what] == [destroyed.resource]:
        return tuple(shown)
    named = alike[:most]
    parts: list[str | Code] = []
    for each in named:
        parts += [", " if parts else "", Code(each.resource)]
    parts.append(f" and {len(alike) - len(named)} more" if len(alike) > len(named) else "")
    parts.append("" if destroyed.what else " are removed" if len(alike) > 1 else " is removed")
    for at, code in enumerate(shown):
        parts += [", " if at else ": ", code]
    if len(destroyed.what) > 3:
        parts.append(f" and {len(destroyed.what) - 3} more")
    return tuple(part for part in parts if part)


def _change(change: FieldChange) -> str:
    return f"{side_text(change.before, _LONGEST)} -> {side_text(change.after, _LONGEST)}"


def _how_to_approve(missing: Sequence[DestructiveChange]) -> list[Block]:
    # JSON is YAML, whatever is in a name.
    prepared = sorted(f"- {json.dumps(destroyed.accept)}" for destroyed in missing if destroyed.accept)
    approved = sorted(
        f"- {{resource: {json.dumps(destroyed.resource)}, until: YYYY-MM-DD, reason: ...}}"
        for destroyed in missing
        if not destroyed.accept
    )
    blocks: list[Block] = []
    for entries, what, key, section in (
        (prepared, "to be prepared, and then let through, in ", "accept", "changes-that-are-refused"),
        (approved, "an approval, if this is meant, in ", "approvedReplacements", "approve-a-replacement"),
    ):
        if entries:
            number = f"{len(entries)} of these need{'s' if len(entries) == 1 else ''} {what}"
            place = Code(f"platform.safeguards.{key}")
            blocks.append(Lines(((number, place, f" ({_DATA}#{section}):"),), "bad"))
            blocks.append(Fenced("\n".join(entries), "yaml"))
    return blocks


class CauseReport(Published):
    """One field that causes it."""

    path: str
    before: Any
    """`null` where there is none."""
    after: Any
    """`null` where there is none."""


class DestructiveChangeReport(Published):
    """One object, random value or setting, and what the change does to it."""

    resource: str
    """What an approval names: `StatefulSet/data/redis`, `RandomPassword/redis-operator`, or `redis.shards`."""
    severity: Severity
    change: tuple[CauseReport, ...]
    """The fields that cause it; empty if the object is gone."""
    consequence: str
    way: str
    """What keeps the data; empty if there is none to keep."""
    section: str
    """Where docs/data.md has the steps, if it has."""
    needs_approval: bool
    approved: bool
    """Whether nothing keeps the change from being merged; always so for what needs no approval."""
    approval: str
    """Who lets it through, and why; empty if nobody does."""
    expired: str
    """An approval that counts no more."""
    accept: str
    """The line of `platform.safeguards.accept` without which the engine refuses it; empty if no line helps."""


def published(found: Iterable[DestructiveChange]) -> tuple[DestructiveChangeReport, ...]:
    """Return destructive changes as published."""
    return tuple(
        DestructiveChangeReport(
            resource=each.resource,
            severity=each.severity,
            change=tuple(
                CauseReport(path=field.path, before=or_null(field.before), after=or_null(field.after))
                for field in each.what
            ),
            consequence=each.consequence,
            way=each.way,
            section=each.section,
            needs_approval=each.needs_approval,
            approved=each.approved,
            approval=each.approval,
            expired=each.expired,
            accept=each.accept,
        )
        for each in found
    )
