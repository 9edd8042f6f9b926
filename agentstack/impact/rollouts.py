"""What rolls: which pods restart for a change, why, how many at a time, and for how long at most."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from agentstack.compare.model import Change
from agentstack.compare.snapshot import Key, Object, Snapshot
from agentstack.output.document import Block, Code, Fold, Line, Lines, Section, Table
from agentstack.output.published import Published
from manifests.capacity import Workload, capacity
from manifests.manifest import object_title
from settings.types import duration_text

from .causes import causes as causes_of
from .causes import changed_configuration, described, of_template
from .model import RolloutAction, WorkloadRollout
from .pace import candidate, restart, span, track
from .replacements import is_replaced

_INTERESTING: Final[Mapping[RolloutAction, int]] = {"interrupts": 0, "restarts": 1, "starts": 2, "keeps": 3, "waits": 4}
_ROLLING: Final = ("Deployment", "StatefulSet", "DaemonSet", "PodTemplate")


def rollouts(before: Snapshot, after: Snapshot, changes: Iterable[Change]) -> list[WorkloadRollout]:
    """Return what the changes do to pods: what interrupts first, then what restarts, then the rest.

    Workloads that are added, removed or replaced are not in it (see `destructive`), and Jobs end by themselves.
    """
    changes = list(changes)
    numbers = [_workloads(snapshot) for snapshot in (before, after)]
    configuration = {
        change.after.key: change
        for change in changes
        if change.action == "changed" and change.after is not None and change.after.key[0] in ("ConfigMap", "Secret")
    }
    found: dict[Key, WorkloadRollout] = {}
    gone = set[Key]()
    for change in changes:
        known = change.after
        if known is None or known.key[0] not in _ROLLING or known.key not in numbers[1]:
            continue
        if change.action == "added":
            if track(known) in ("canary", "green"):
                found[known.key] = candidate(known, numbers[1][known.key])
        elif change.before is None or change.action == "renamed" or is_replaced(change, after):
            gone.add(known.key)
        elif template := list(of_template(change)):
            causes = tuple(dict.fromkeys(causes_of(template, known, configuration)))
            found[known.key] = restart(known, numbers[1][known.key], after, causes)
    for key in numbers[0].keys() & numbers[1].keys() - gone:
        old, new = (span(side[key]) for side in numbers)
        words = f"{_count(old)} -> {_count(new)}"
        if old == new:
            continue
        if key in found:
            found[key] = replace(
                found[key], note="; ".join(filter(None, (found[key].note, f"scales as well: {words}")))
            )
        else:
            found[key] = WorkloadRollout(object_title(*key), "scales", (words,), new, note="restarts nothing")
    for key in numbers[1].keys() & before.objects.keys() - found.keys() - gone:
        if (read := _reread(after.objects[key], numbers[1][key], configuration)) is not None:
            found[key] = read
    return sorted(found.values(), key=lambda rollout: (_INTERESTING.get(rollout.action, 9), rollout.workload))


def _workloads(snapshot: Snapshot) -> dict[Key, Workload]:
    counted = capacity(known.manifest for known in snapshot.objects.values())
    return {
        (workload.kind, namespace.name, workload.name): workload
        for namespace in counted
        for workload in namespace.workloads
        if workload.kind in _ROLLING
    }


def _count(span: tuple[int, int]) -> str:
    return f"{span[0]}" if span[0] == span[1] else f"{span[0]} to {span[1]}"


def _reread(known: Object, workload: Workload, configuration: Mapping[Key, Change]) -> WorkloadRollout | None:
    """Return what becomes of pods whose template stays, while what they read changes; None if none of it does."""
    found = dict.fromkeys((described(change), live) for change, live in changed_configuration(known, configuration))
    if not found:
        return None
    live = all(seen for _, seen in found)
    return WorkloadRollout(
        known.title,
        "reloads" if live else "keeps",
        tuple(dict.fromkeys(cause for cause, _ in found)),
        span(workload),
        note="the kubelet renews the files within about a minute; restarts nothing"
        if live
        else "restarts nothing: pods that run keep what they have read, until they restart",
    )


_AT_MOST: Final = (
    "at most: if each old pod takes its whole grace period to end, and each new one as long as probes allow"
)


def section(found: Sequence[WorkloadRollout]) -> Section:
    """Return the part of the document about pods: those that restart in a table, the others folded."""
    shown = [rollout for rollout in found if rollout.action in _INTERESTING]
    others = [rollout for rollout in found if rollout.action not in _INTERESTING]
    blocks: list[Block] = []
    if shown:
        headers = ("workload", "what", "because of", ">pods", "at a time", ">at most", "note")
        blocks.append(Table(headers, tuple(_row(rollout) for rollout in shown)))
        blocks.append(Lines((_AT_MOST,)))
    if others:
        rows = tuple(
            (Code(rollout.workload), rollout.action, _list(rollout.causes), rollout.note) for rollout in others
        )
        title = f"{len(others)} without a restart"
        blocks.append(Fold(title, (Table(("workload", "what", "because of", "note"), rows),)))
    if not blocks:
        blocks.append(Lines(("No pod restarts.",), "good"))
    interrupted = any(rollout.action in ("interrupts", "keeps") for rollout in found)
    return Section("What rolls", tuple(blocks), "warn" if interrupted else "none")


def _row(rollout: WorkloadRollout) -> tuple[Line, ...]:
    longest = "" if rollout.longest is None else _time(rollout.longest)
    what = {"interrupts": "interrupted", "keeps": "keeps the old"}.get(rollout.action, rollout.action)
    row = what, _list(rollout.causes), _count(rollout.pods), rollout.at_once, longest, rollout.note
    return (Code(rollout.workload), *row)


def _list(causes: Sequence[str]) -> Line:
    parts: list[str | Code] = []
    for cause in causes[:4]:
        parts += [", "] if parts else []
        parts.append(Code(cause))
    return (*parts, f" and {len(causes) - 4} more") if len(causes) > 4 else tuple(parts)


def _time(span: timedelta) -> str:
    """Write a time as people do: two units at most."""
    minutes, seconds = divmod(int(span.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{f'{minutes}m' if minutes else ''}"
    return f"{minutes}m{f'{seconds}s' if seconds else ''}" if minutes else duration_text(span)


class PodNumbers(Published):
    """How many pods, at least and at most."""

    min: int
    max: int


class RolloutReport(Published):
    """What becomes of the pods of one workload."""

    workload: str
    """Its title, such as `Deployment/agents/executor`; the PodTemplate for the pods of a fleet."""
    action: RolloutAction
    causes: tuple[str, ...]
    """What changed, in words, without values of variables."""
    pods: PodNumbers
    at_once: str
    """How many of them at a time, in words."""
    longest_seconds: int | None
    """How long it takes at most; `null` where nothing bounds it or nothing restarts."""
    deadline_seconds: int | None
    """After so long without progress a Deployment has failed; `null` for what has no deadline."""
    note: str


def published(found: Iterable[WorkloadRollout]) -> tuple[RolloutReport, ...]:
    """Return the rollouts as published."""
    return tuple(
        RolloutReport(
            workload=rollout.workload,
            action=rollout.action,
            causes=rollout.causes,
            pods=PodNumbers(min=rollout.pods[0], max=rollout.pods[1]),
            at_once=rollout.at_once,
            longest_seconds=None if rollout.longest is None else int(rollout.longest.total_seconds()),
            deadline_seconds=None if rollout.deadline is None else int(rollout.deadline.total_seconds()),
            note=rollout.note,
        )
        for rollout in found
    )
