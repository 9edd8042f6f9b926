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

from agentstack.compare.changes import ABSENT, FieldChange, side_text
from agentstack.compare.snapshot import Snapshot
from agentstack.output.document import Block, Code, Fenced, Fold, Line, Lines, Section, Table
from components.change import Cost
from components.platform.guard import destructive_changes
from manifests.text import nearest
from settings.approvals import ApprovedReplacement

from .model import Loss, Severity
from .replacements import PROTECT_DATA, lifts, of_objects, pairs
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


def losses(before: Snapshot, after: Snapshot, *, today: date) -> list[Loss]:
    """Return what the change from `before` to `after` destroys, the worst first, with the approvals of `after`.

    `today` is the day, in UTC, by which approvals expire. What a revision is too old to say is not judged.
    """
    found = [*_of_settings(before, after), *of_objects(before, after), *of_resources(before, after)]
    return judged(found, after, today=today)


def judged(found: Iterable[Loss], after: Snapshot, *, today: date) -> list[Loss]:
    """Return losses with the approvals of `after`, the worst first."""
    granted = [ApprovedReplacement.model_validate(entry) for entry in _approvals(after, "approvedReplacements")]
    found = [_judged(loss, granted, today) for loss in found]
    return sorted(found, key=lambda loss: (loss.approved, _ORDER.index(loss.severity), loss.resource))


def unused(found: Iterable[Loss], before: Snapshot, after: Snapshot) -> list[str]:
    """Return a line for each approval of `after` that approves none of `found`, so that it gets removed."""
    needed = {loss.resource for loss in found if loss.needs_approval}
    lines = []
    for entry in _approvals(after, "approvedReplacements"):
        resource = str(entry["resource"])
        if resource not in needed:
            meant = nearest(resource, needed, "remove it") if needed else ": remove it"
            lines.append(f"platform.safeguards.approvedReplacements: nothing of `{resource}` is destroyed{meant}")
    changes = {change.change for change in destructive_changes(before.facts, after.facts)}
    lines += [
        f"platform.safeguards.accept: `{entry}` is none of this change: remove it"
        for entry in _approvals(after, "accept")
        if entry not in changes
    ]
    return lines


def _approvals(snapshot: Snapshot, kind: str) -> Sequence[Any]:
    found: Sequence[Any] = snapshot.report.get("approvals", {}).get(kind, ())
    return found


def _judged(loss: Loss, granted: Iterable[ApprovedReplacement], today: date) -> Loss:
    if not loss.needs_approval or loss.approval:
        return loss
    for grant in sorted((grant for grant in granted if grant.resource == loss.resource), key=lambda grant: grant.until):
        if grant.until >= today:
            return replace(loss, approval=f"approved until {grant.until}: {grant.reason}", expired="")
        loss = replace(loss, expired=f"the approval ended on {grant.until}: {grant.reason}")
    return loss


# --- settings ---


def _of_settings(before: Snapshot, after: Snapshot) -> Iterator[Loss]:
    accepted = _approvals(after, "accept")
    for change in destructive_changes(before.facts, after.facts):
        rule, let_through = change.kind, change.accepted(accepted)
        refused = "" if let_through or not rule.refused else "the engine refuses it before anything changes: "
        shed = _shed(before, after) if change.path == PROTECT_DATA else ""
        yield Loss(
            change.path,
            _OF_COST[rule.costs],
            (FieldChange(change.path, change.before, change.after),),
            f"{refused}{rule.reason}{shed}",
            rule.way if let_through else change.way,
            rule.section,
            needs_approval=True,
            approval="accepted by platform.safeguards.accept" if let_through else "",
            accept=change.change if refused and rule.acceptable else "",
        )


def _shed(before: Snapshot, after: Snapshot) -> str:
    names = [old.title for old, new in pairs(before, after) if new is not None and any(lifts(old, new))]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f" ({shown})" if names else ""


# --- what is said ---


def unjudged(before: Snapshot) -> list[str]:
    """Say what cannot be compared with a revision whose own code did not tell it yet."""
    if not before.objects or "facts" in before.report:
        return []
    return [
        "The base is older than what it is compared by: changes of settings that hold data (shards, brokers, "
        "partitions, retention) and of what the engine alone knows are not judged here, but by `pulumi preview`."
    ]


def section(found: Sequence[Loss], notes: Sequence[str] = ()) -> Section:
    """Return the part of the document about losses: those that need an approval first, harmless ones folded."""
    serious = [loss for loss in found if loss.severity != "harmless"]
    harmless = [loss for loss in found if loss.severity == "harmless"]
    blocks: list[Block] = []
    if serious:
        headers = ("", "change", "what happens, and what keeps it", "approval")
        blocks.append(Table(headers, tuple(_row(alike) for alike in _alike(serious))))
    missing = [loss for loss in serious if not loss.approved]
    if missing:
        blocks += _how_to_approve(missing)
    if notes:
        blocks.append(Lines(tuple(notes), "warn"))
    if harmless:
        rows = tuple((_what(alike, most=_MOST_NAMES), alike[0].consequence) for alike in _alike(harmless))
        title = f"{len(harmless)} harmless replacement{'s' if len(harmless) > 1 else ''}"
        blocks.append(Fold(title, (Table(("change", "what happens"), rows),)))
    if not blocks:
        blocks.append(Lines(("Nothing is lost, and nothing made anew.",), "good"))
    return Section("What it destroys", tuple(blocks), "bad" if missing else "warn" if serious or notes else "good")


def _alike(found: Iterable[Loss]) -> Iterable[Sequence[Loss]]:
    """Put together what differs in nothing but the object, such as all in a namespace that is renamed."""
    groups: dict[str, list[Loss]] = {}
    for loss in found:
        groups.setdefault(repr(replace(loss, resource="")), []).append(loss)
    return groups.values()


def _row(alike: Sequence[Loss]) -> tuple[Line, ...]:
    loss = alike[0]
    happens = loss.consequence
    if loss.way:
        happens += f". What keeps it: {loss.way}" + (f" ({_DATA}#{loss.section})" if loss.section else "")
    approval = loss.approval or (f"missing; {loss.expired}" if loss.expired else "missing")
    return loss.severity, _what(alike), happens, approval if loss.needs_approval else "not needed"


def _what(alike: Sequence[Loss], most: int | None = None) -> Line:
    """Name the objects, `most` of them if given, and the fields that cause it; of a setting the field alone."""
    loss = alike[0]
    shown = [
        Code(change.path if change.kind in ("secret", "text") else f"{change.path}: {_change(change)}")
        for change in loss.what[:3]
    ]
    if [change.path for change in loss.what] == [loss.resource]:
        return tuple(shown)
    named = alike[:most]
    parts: list[str | Code] = []
    for each in named:
        parts += [", " if parts else "", Code(each.resource)]
    parts.append(f" and {len(alike) - len(named)} more" if len(alike) > len(named) else "")
    parts.append("" if loss.what else " are removed" if len(alike) > 1 else " is removed")
    for at, code in enumerate(shown):
        parts += [", " if at else ": ", code]
    if len(loss.what) > 3:
        parts.append(f" and {len(loss.what) - 3} more")
    return tuple(part for part in parts if part)


def _change(change: FieldChange) -> str:
    return f"{side_text(change.before, _LONGEST)} -> {side_text(change.after, _LONGEST)}"


def _how_to_approve(missing: Sequence[Loss]) -> list[Block]:
    # JSON is YAML, whatever is in a name.
    prepared = sorted(f"- {json.dumps(loss.accept)}" for loss in missing if loss.accept)
    approved = sorted(
        f"- {{resource: {json.dumps(loss.resource)}, until: YYYY-MM-DD, reason: ...}}"
        for loss in missing
        if not loss.accept
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


def as_json(found: Iterable[Loss]) -> list[dict[str, Any]]:
    """Return the losses for diff.json.

    Keys: `resource`, `severity`, `change` (a list of `path`, `before`, `after`, `null` where there is none),
    `consequence`, `way`, `section` of docs/data.md, `needsApproval`, `approved`, `approval`, `expired`, `accept`.
    """
    return [
        {
            "resource": loss.resource,
            "severity": loss.severity,
            "change": [
                {
                    "path": change.path,
                    "before": None if change.before is ABSENT else change.before,
                    "after": None if change.after is ABSENT else change.after,
                }
                for change in loss.what
            ],
            "consequence": loss.consequence,
            "way": loss.way,
            "section": loss.section,
            "needsApproval": loss.needs_approval,
            "approved": loss.approved,
            "approval": loss.approval,
            "expired": loss.expired,
            "accept": loss.accept,
        }
        for loss in found
    ]
