"""What the engine would do with a change, beside what the diff says: the rest only the live state knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from agentstack.compare.fields import fields
from agentstack.compare.model import ABSENT, SECRET, Change, FieldChange
from agentstack.compare.snapshot import Object, Snapshot
from agentstack.engine.events import Answer, Operation, Refusal, Step, title_of
from agentstack.impact import destructive, replacements
from agentstack.impact.destructive import DestructiveChangeReport
from agentstack.impact.model import DestructiveChange
from agentstack.output.document import Block, Code, Fold, Line, Lines, Section, Table
from agentstack.output.published import Published
from agentstack.preview.published import Summary

from . import drift
from .drift import DriftedObject

_TITLE = "What only the live state knows"


@dataclass(frozen=True)
class Live:
    """A change as the engine sees it, compared with the diff of both revisions."""

    confirmed: int
    """The number of changes of the diff that the engine would make, too."""
    destroyed: tuple[DestructiveChange, ...] = ()
    """What the engine would replace or delete, and the diff does not say so; with the approvals."""
    drift: tuple[drift.Drift, ...] = ()
    """What is not as it was deployed last."""
    pending: tuple[Step, ...] = ()
    """What else the engine would do: the base is not what was deployed last."""
    deployed: tuple[str, ...] = ()
    """Changes of the diff that the stack has already, by title."""
    refusals: tuple[Refusal, ...] = ()
    """What the engine, the provider or the API server refuses: the update would fail there."""

    @property
    def needs_approval(self) -> bool:
        """Whether something is destroyed that nobody approved."""
        return not all(each.approved for each in self.destroyed)


def reconcile(
    answer: Answer,
    after: Snapshot,
    changes: Sequence[Change],
    found: Sequence[DestructiveChange],
    *,
    today: date,
) -> Live:
    """Compare what the engine would do with the changes, and the destructive ones among them, between two revisions.

    `today` is the day, in UTC, by which approvals expire.
    """
    # The engine does not read again what it replaces with something that it depends on: the state may be old.
    unread = {step.urn for step in answer.steps if step.operation == "replace" and not step.forced}
    drifted = drift.drifts(resource for resource in answer.refreshed if resource.urn not in unread)
    steps = [step for step in answer.steps if _is_reported(step)]
    expected = {name: change for change in changes for name in _names(change)}
    matched = {id(expected[name]) for step in steps for name in _step_names(step) if name in expected}
    stack = _stack(answer, after)
    reported = {each.resource for each in found}
    unreported = {
        each.resource: each
        for each in destructive.destructive_changes(stack, after, today=today)
        if each.resource not in reported
    }
    put_back = {each.urn: each for each in drifted}
    differs = {resource.urn: set(resource.differs) for resource in answer.refreshed}
    destroyed, pending = [], []
    for step in steps:
        title = _title(step)
        if step.operation in ("replace", "delete") and title in unreported:
            destroyed.append(unreported[title])
        elif step.operation == "replace" and title not in reported:
            destroyed.append(_replaced(step, stack, after))
        elif not any(name in expected for name in _step_names(step)):
            if step.operation != "create" and step.urn in put_back:
                step = replace(step, fields=tuple(path for path in step.fields if path not in differs[step.urn]))
            if step.urn not in put_back or step.fields:
                pending.append(step)
    return Live(
        len(matched),
        tuple(destructive.judged(destroyed, after, today=today)),
        tuple(drifted),
        tuple(sorted(pending, key=_title)),
        () if answer.refusals else tuple(change.object.title for change in changes if id(change) not in matched),
        answer.refusals,
    )


def _is_reported(step: Step) -> bool:
    """Whether a step does something to an object or a value.

    Another provider may be the same cluster by another path, and a patch that goes leaves the object.
    """
    unreported = step.type.startswith("pulumi:providers:") and step.operation == "update"
    return not unreported and not (step.type.endswith("Patch") and step.operation in ("replace", "delete"))


def _names(change: Change) -> Iterable[str]:
    for known in (change.before, change.after):
        if known is not None:
            yield known.title
            if known.urn:
                yield known.urn


def _title(step: Step) -> str:
    return title_of(step.urn, step.before if step.operation in ("delete", "replace") else step.after)


def _step_names(step: Step) -> tuple[str, str]:
    return step.urn, _title(step)


def _stack(answer: Answer, after: Snapshot) -> Snapshot:
    """Return what the stack's last update declared, as a revision."""
    objects = {}
    for resource in answer.refreshed:
        manifest, state = resource.before.inputs, resource.before
        if resource.type.startswith("kubernetes:") and not resource.type.endswith("Patch") and "metadata" in manifest:
            known = Object(manifest, urn=resource.urn, protected=state.protected, retained=state.retained)
            objects[known.key] = known
    # Settings are no objects: the program compares them with those of the state by itself, and the engine said so.
    return Snapshot(after.environment, "the stack", objects, Summary(facts=dict(after.facts)))


def _replaced(step: Step, stack: Snapshot, after: Snapshot) -> DestructiveChange:
    """What it costs that the provider replaces what the diff at most changes."""
    before_and_after = [state.inputs if state is not None else {} for state in (step.before, step.after)]
    what = [change for change in fields(*before_and_after) if change.path in step.forced]
    what = what or [FieldChange(path, SECRET, SECRET, "secret") for path in step.forced]
    what = what or [FieldChange("what it depends on", ABSENT, ABSENT, "text")]
    old = next((known for known in stack.objects.values() if known.urn == step.urn), None)
    if old is None:
        again = "the engine deletes it and creates another"
        return DestructiveChange(_title(step), "downtime", tuple(what), again, needs_approval=True)
    new = next((known for known in after.objects.values() if known.urn == step.urn), old)
    destroyed = replacements.replacement(old, new, what, stack, after)
    return replace(
        destroyed,
        consequence=f"replaced for what the engine finds in the cluster or in its state: {destroyed.consequence}",
        way="fix by hand what has drifted, before anything is deployed with a refresh",
        section="",
        needs_approval=destroyed.severity != "harmless",
    )


# --- report ---


def section(live: Live) -> Section:
    """Return the part of the document about the live state, what needs somebody's attention first."""
    blocks: list[Block] = []
    if live.refusals:
        refused: list[Line] = ["The update would fail:"]
        refused += [(Code(refusal.title), ": ", Code(refusal.message)) for refusal in live.refusals]
        blocks.append(Lines(tuple(refused), "bad"))
    if live.destroyed:
        blocks += destructive.section(live.destroyed).blocks
    if live.drift:
        blocks += drift.section(live.drift).blocks
    if live.pending:
        rows = tuple((Code(_title(step)), step.operation, _fields(step)) for step in live.pending)
        number = len(rows)
        title = f"{number} more step{'' if number == 1 else 's'}: the base is not what was deployed last"
        blocks.append(Fold(title, (Table(("resource", "step", "fields"), rows),)))
    if live.deployed:
        number = len(live.deployed)
        title = f"{number} change{'' if number == 1 else 's'} that the stack has already"
        blocks.append(Fold(title, (Lines(tuple(Code(name) for name in live.deployed)),)))
    number = live.confirmed
    agrees = "with nothing else" if not blocks else "with the rest as above"
    blocks.append(
        Lines((f"The engine would make {number} of the changes below, {agrees}.",), "none" if blocks else "good")
    )
    bad = live.refusals or live.needs_approval
    worth_a_look = live.destroyed or live.drift or live.pending
    return Section(_TITLE, tuple(blocks), "bad" if bad else "warn" if worth_a_look else "good")


def summary(live: Live) -> str:
    """Say it in a few words."""
    counts = (
        (live.refusals, "refused"),
        (live.destroyed, "destroyed"),
        (live.drift, "drifted"),
        (live.pending, "not deployed before"),
    )
    return ", ".join(f"{len(found)} {word}" for found, word in counts if found) or "as below"


def unknown(reason: str) -> Section:
    """Return the part of the document where the engine could not be asked."""
    return Section(_TITLE, (Lines((Code(reason),), "bad"),), "bad")


def _fields(step: Step) -> Line:
    shown = ", ".join(step.fields[:3])
    more = len(step.fields) - 3
    return (Code(shown), f" and {more} more" if more > 0 else "") if shown else ""


class PendingReport(Published):
    """What else the engine would do with one resource."""

    resource: str
    urn: str
    operation: Operation
    fields: tuple[str, ...]


class RefusalReport(Published):
    """One resource that the engine, its provider or the API server refuses to treat as planned."""

    resource: str
    urn: str
    message: str


class LiveReport(Published):
    """What only the live state knows."""

    error: None = None
    confirmed: int
    """The number of changes of the diff that the engine would make, too."""
    destroyed: tuple[DestructiveChangeReport, ...]
    """What the engine would replace or delete, and the diff does not say so."""
    drift: tuple[DriftedObject, ...]
    pending: tuple[PendingReport, ...]
    """What else the engine would do: the base is not what was deployed last."""
    deployed: tuple[str, ...]
    """Changes of the diff that the stack has already, by title."""
    refusals: tuple[RefusalReport, ...]


class UnknownLive(Published):
    """Why the engine could not be asked."""

    error: str


def published(live: Live) -> LiveReport:
    """Return what only the live state knows as published."""
    return LiveReport(
        confirmed=live.confirmed,
        destroyed=destructive.published(live.destroyed),
        drift=drift.published(live.drift),
        pending=tuple(
            PendingReport(resource=_title(step), urn=step.urn, operation=step.operation, fields=step.fields)
            for step in live.pending
        ),
        deployed=live.deployed,
        refusals=tuple(
            RefusalReport(resource=refusal.title, urn=refusal.urn, message=refusal.message) for refusal in live.refusals
        ),
    )
