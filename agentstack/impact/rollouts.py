"""What rolls: which pods restart for a change, why, how many at a time, and for how long at most.

A controller makes other pods where its pod template differs, and the pace is its own:

- Deployment: `maxSurge` (rounded up) more and `maxUnavailable` (rounded down) less at a time, 25 % each by default,
  https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#rolling-update-deployment
- StatefulSet: one after the other, the highest number first, `Parallel` or not, and none below `partition`,
  https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#rolling-updates
- DaemonSet: `maxUnavailable` nodes at a time, 1 by default,
  https://kubernetes.io/docs/tasks/manage-daemon/update-daemon-set/
- fleet: `maxUnavailable` percent of the devices at a time (docs/fleets.md)

The longest time is that of one pod times the rounds. One pod has its grace to end
(https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination), the time that its startup probe, or
without one its readiness probe, allows
(https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/), and
`minReadySeconds`. Scheduling, pulling images and init containers come on top: nothing bounds them.

Values of secrets are not known here: what rolls because one of them changes is not seen.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, Literal

from agentstack.compare.changes import ABSENT, Change, FieldChange, is_at
from agentstack.compare.snapshot import Key, Object, Snapshot
from agentstack.output.document import Block, Code, Fold, Line, Lines, Section, Table
from manifests.capacity import Workload, capacity
from manifests.fields import get, mapping, objects, text
from manifests.labels import CONFIG_HASH, SECRET_HASH, TRACK
from manifests.manifest import object_title
from manifests.quantities import share_of
from manifests.references import reads
from manifests.workloads import containers, pod_spec, pod_template, running_containers
from settings.rollout import version_of, with_version
from settings.types import duration_text

from .replacements import is_replaced

Action = Literal["restarts", "interrupts", "waits", "starts", "scales", "reloads", "keeps"]
"""`restarts`: other pods take the place of those that run, some at a time. `interrupts`: all pods end before the new
ones start. `waits`: the new template counts for pods that somebody deletes. `starts`: the candidate of a release.
`scales`: another number of the same pods. `reloads`: files change in pods that run on. `keeps`: pods run on with what
they read when they started."""

_INTERESTING: Final[Mapping[Action, int]] = {"interrupts": 0, "restarts": 1, "starts": 2, "keeps": 3, "waits": 4}
_ROLLING: Final = ("Deployment", "StatefulSet", "DaemonSet", "PodTemplate")
_HASHES: Final = {
    f'metadata.annotations["{CONFIG_HASH}"]': "configuration",
    f'metadata.annotations["{SECRET_HASH}"]': "a secret's value",
}
_CONTAINER: Final = re.compile(r"spec\.(?:initContainers|containers)\[([^\]]+)\](?:\.(.*))?")
_VARIABLE: Final = re.compile(r"env\[([^\]]+)\]")


@dataclass(frozen=True)
class Rollout:
    """What becomes of the pods of one workload."""

    workload: str
    """Its title, such as `Deployment/agents/executor`; the PodTemplate for the pods of a fleet."""
    action: Action
    causes: tuple[str, ...]
    """What changed, in words, without values of variables."""
    pods: tuple[int, int]
    """How many pods it concerns, at least and at most; 1 a node for a DaemonSet."""
    at_once: str = ""
    """How many of them at a time, in words."""
    longest: timedelta | None = None
    """How long it takes at most; None if nothing bounds it or nothing restarts. Of one node for a DaemonSet."""
    deadline: timedelta | None = None
    """A Deployment that makes no progress for so long has failed (`progressDeadlineSeconds`)."""
    note: str = ""


def rollouts(before: Snapshot, after: Snapshot, changes: Iterable[Change]) -> list[Rollout]:
    """Return what the changes do to pods: what interrupts first, then what restarts, then the rest.

    Workloads that are added, removed or replaced are not in it (see `losses`), and Jobs end by themselves.
    """
    changes = list(changes)
    numbers = [_workloads(snapshot) for snapshot in (before, after)]
    configuration = {
        change.after.key: change
        for change in changes
        if change.action == "changed" and change.after is not None and change.after.key[0] in ("ConfigMap", "Secret")
    }
    found: dict[Key, Rollout] = {}
    gone = set[Key]()
    for change in changes:
        known = change.after
        if known is None or known.key[0] not in _ROLLING or known.key not in numbers[1]:
            continue
        if change.action == "added":
            if _track(known) in ("canary", "green"):
                found[known.key] = _candidate(known, numbers[1][known.key])
        elif change.before is None or change.action == "renamed" or is_replaced(change, after):
            gone.add(known.key)
        elif template := list(_of_template(change)):
            causes = tuple(dict.fromkeys(_causes(template, known, configuration)))
            found[known.key] = _rolled(known, numbers[1][known.key], after, causes)
    for key in numbers[0].keys() & numbers[1].keys() - gone:
        old, new = (_span(side[key]) for side in numbers)
        words = f"{_count(old)} -> {_count(new)}"
        if old == new:
            continue
        if key in found:
            found[key] = replace(
                found[key], note="; ".join(filter(None, (found[key].note, f"scales as well: {words}")))
            )
        else:
            found[key] = Rollout(object_title(*key), "scales", (words,), new, note="restarts nothing")
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


def _span(workload: Workload) -> tuple[int, int]:
    return workload.minimum, workload.maximum


def _count(span: tuple[int, int]) -> str:
    return f"{span[0]}" if span[0] == span[1] else f"{span[0]} to {span[1]}"


# --- causes ---


def _of_template(change: Change) -> Iterator[FieldChange]:
    """Yield the changes of the pod template that the engine does not pass over, with paths from there on."""
    root = "template." if change.object.key[0] == "PodTemplate" else "spec.template."
    for field in change.fields:
        if field.path.startswith(root) and not is_at(field.path, *change.object.ignored):
            yield replace(field, path=field.path.removeprefix(root))


def _causes(template: Sequence[FieldChange], known: Object, configuration: Mapping[Key, Change]) -> Iterator[str]:
    several = sum(1 for _ in containers(known.manifest)) > 1
    images = any(field.path.endswith(".image") for field in template)
    for field in template:
        if (meaning := _HASHES.get(field.path)) is not None:
            named = [_named(change) for change, _ in _read(known, configuration)] if meaning == "configuration" else []
            yield from named or [meaning]
            continue
        if images and field.path == 'metadata.labels["app.kubernetes.io/version"]':
            continue
        match = _CONTAINER.fullmatch(field.path)
        if match is None:
            yield _words(field.path)
            continue
        where = f" of {match[1]}" if several else ""
        yield f"{_of_container(match[2] or '', field)}{where}"


def _of_container(path: str, field: FieldChange) -> str:
    variable = _VARIABLE.match(path)
    if path == "image":
        old, new = str(field.before), str(field.after)
        same = with_version(old, version_of(new)) == new and version_of(old)
        return f"image {version_of(old)} -> {version_of(new)}" if same else f"image {old} -> {new}"
    if variable is not None:
        return f"variable {variable[1]}"
    if not path:
        return "container added" if field.before is ABSENT else "container removed"
    return _words(path)


_PLAIN: Final = (
    (r"(args|command)\b.*", "arguments"),
    (r"resources\b.*", "resources"),
    (r"(startup|liveness|readiness)Probe\b.*", r"\1 probe"),
    (r"envFrom\b.*|env \(order\)", "variables"),
    (r"(?:spec\.)?(volume)s?(?:Mounts)?\b.*", r"\1s"),
    (r'metadata\.(label|annotation)s(?:\.|\["?)([^"\]]+).*', r"\1 \2"),
    (r"spec\.(.*)", r"\1"),
)


def _words(path: str) -> str:
    for pattern, words in _PLAIN:
        if re.fullmatch(pattern, path):
            return re.sub(pattern, words, path)
    return path


def _named(change: Change) -> str:
    keys = sorted(_keys(change))
    shown = ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
    return f"{change.object.title}: {shown}" if shown else change.object.title


def _keys(change: Change) -> set[str]:
    """The keys of a ConfigMap or Secret that differ."""
    found = set()
    for field in change.fields:
        section, _, rest = field.path.partition(".")
        if section in ("data", "binaryData", "stringData") and rest:
            found.add(rest)
        elif (match := re.fullmatch(r'(?:data|binaryData|stringData)\["(.*)"\]', field.path)) is not None:
            found.add(match[1])
        elif field.path in ("data", "binaryData", "stringData"):
            found |= {key for side in (field.before, field.after) if isinstance(side, Mapping) for key in side}
    return found


# --- who reads what ---


def _read(known: Object, configuration: Mapping[Key, Change]) -> Iterator[tuple[Change, bool]]:
    """Yield each changed ConfigMap or Secret that the pods read, and whether they see the change while they run."""
    for reference in reads(known.manifest):
        found = configuration.get((reference.kind, known.key[1], reference.name))
        if found is not None and (keys := _keys(found)) and (not reference.key or reference.key in keys):
            yield found, bool(reference.volume) and not _by_sub_path(known, reference.volume)


def _by_sub_path(known: Object, volume: str) -> bool:
    """Whether a volume is mounted by `subPath`, so that its files stay as they were at the start.

    https://kubernetes.io/docs/concepts/configuration/configmap/#mounted-configmaps-are-updated-automatically
    """
    mounts = [mount for c in containers(known.manifest) for mount in objects(c, "volumeMounts")]
    return any(text(mount, "name") == volume and get(mount, "subPath") for mount in mounts)


def _reread(known: Object, workload: Workload, configuration: Mapping[Key, Change]) -> Rollout | None:
    """Return what becomes of pods whose template stays, while what they read changes; None if none of it does."""
    found = dict.fromkeys((_named(change), live) for change, live in _read(known, configuration))
    if not found:
        return None
    live = all(seen for _, seen in found)
    return Rollout(
        known.title,
        "reloads" if live else "keeps",
        tuple(dict.fromkeys(cause for cause, _ in found)),
        _span(workload),
        note="the kubelet renews the files within about a minute; restarts nothing"
        if live
        else "restarts nothing: pods that run keep what they have read, until they restart",
    )


# --- pace ---


def _candidate(known: Object, workload: Workload) -> Rollout:
    note = "beside the stable version (docs/releases.md)"
    return Rollout(known.title, "starts", ("a release",), _span(workload), longest=_pod(known.manifest), note=note)


def _track(known: Object) -> str:
    return text(pod_template(known.manifest), "metadata", "labels", TRACK)


def _rolled(known: Object, workload: Workload, after: Snapshot, causes: tuple[str, ...]) -> Rollout:
    manifest, (low, high) = known.manifest, _span(workload)
    each = _pod(manifest)
    rolled = Rollout(known.title, "restarts", causes, (low, high))
    match known.key[0]:
        case "PodTemplate":
            controller = after.objects.get(("Deployment", known.key[1], f"{known.key[2]}-fleet"))
            percent = _percent(controller)
            at_once = max(1, high * percent // 100)
            return replace(
                rolled,
                at_once=f"{at_once} ({percent} %) at a time",
                longest=each * math.ceil(high / at_once),
                note="one pod a device; the controller of the fleet makes them anew (docs/fleets.md)",
            )
        case "Deployment":
            return _deployment(rolled, known, each)
        case "StatefulSet":
            return _stateful_set(rolled, manifest, each)
        case _:
            return _daemon_set(rolled, manifest, each)


def _deployment(rolled: Rollout, known: Object, each: timedelta) -> Rollout:
    (low, high), spec = rolled.pods, mapping(known.manifest, "spec")
    seconds = get(spec, "progressDeadlineSeconds")
    rolled = replace(rolled, deadline=timedelta(seconds=seconds if isinstance(seconds, int) else 600))
    if get(spec, "strategy", "type") == "Recreate":
        note = "its pods end before the new ones start (`Recreate`)"
        return replace(rolled, action="interrupts", at_once="all at once", longest=each, note=note)
    if high == 0:
        return replace(rolled, at_once="none runs", longest=timedelta(0))
    rounds = max(math.ceil(number / sum(_room(spec, number))) for number in range(max(low, 1), high + 1))
    surge, missing = _room(spec, high)
    words = [f"{surge} more" if surge else "", f"{missing} less" if missing else "none less"]
    note = ""
    released = any(cause.startswith("image ") for cause in rolled.causes) and _track(known) in ("stable", "blue")
    if released:
        note = f"without a candidate; `agentstack release {known.key[2]}` goes step by step (docs/releases.md)"
    at_once = f"{'up to ' if low != high else ''}{surge + missing} at a time ({', '.join(filter(None, words))})"
    return replace(rolled, at_once=at_once, longest=each * rounds, note=note)


def _room(spec: Mapping[str, Any], replicas: int) -> tuple[int, int]:
    """How many pods may be there beyond the wanted number, and how many may be missing."""
    rolling = mapping(spec, "strategy", "rollingUpdate")
    surge = _share(get(rolling, "maxSurge"), replicas, "25%", up=True)
    missing = _share(get(rolling, "maxUnavailable"), replicas, "25%", up=False)
    return (surge, missing) if surge + missing else (0, 1)


def _share(value: Any, of: int, default: int | str, *, up: bool) -> int:
    return share_of(default if value is None else value, of, up=up) or 0


def _stateful_set(rolled: Rollout, manifest: Mapping[str, Any], each: timedelta) -> Rollout:
    low, high = rolled.pods
    strategy = mapping(manifest, "spec", "updateStrategy")
    if get(strategy, "type") == "OnDelete":
        return replace(rolled, action="waits", note="restarts nothing by itself (`OnDelete`)")
    partition = get(strategy, "rollingUpdate", "partition") or 0
    low, high = max(0, low - partition), max(0, high - partition)
    note = f"pods below number {partition} stay as they are (`partition`)" if partition else ""
    if high == 0:
        return replace(rolled, action="waits", note=note or "none runs")
    at_once = max(1, _share(get(strategy, "rollingUpdate", "maxUnavailable"), high, 1, up=True))
    words = f"{'one' if at_once == 1 else at_once} at a time, the highest number first"
    return replace(rolled, pods=(low, high), at_once=words, longest=each * math.ceil(high / at_once), note=note)


def _daemon_set(rolled: Rollout, manifest: Mapping[str, Any], each: timedelta) -> Rollout:
    strategy = mapping(manifest, "spec", "updateStrategy")
    if get(strategy, "type") == "OnDelete":
        return replace(rolled, action="waits", note="restarts nothing by itself (`OnDelete`)")
    room = get(strategy, "rollingUpdate", "maxUnavailable")
    surge = get(strategy, "rollingUpdate", "maxSurge")
    share = surge if surge not in (None, 0, "0%") else 1 if room is None else room
    return replace(rolled, at_once=f"{share} of the nodes at a time", longest=each, note="one pod a node; per node")


def _percent(controller: Object | None) -> int:
    for container in containers(controller.manifest) if controller is not None else ():
        for variable in objects(container, "env"):
            if get(variable, "name") == "MAX_UNAVAILABLE_PERCENT":
                return int(text(variable, "value") or 10)
    return 10


def _pod(manifest: Mapping[str, Any]) -> timedelta:
    """How long one pod may take to end, and its successor to become available."""
    grace = _seconds(pod_spec(manifest), "terminationGracePeriodSeconds", 30)
    start = max((_start(container) for container in running_containers(manifest)), default=0)
    return timedelta(seconds=grace + start + _seconds(mapping(manifest, "spec"), "minReadySeconds", 0))


def _start(container: Mapping[str, Any]) -> int:
    """Seconds until a container is ready, or given up: by the defaults of probes where it does not say."""
    startup, readiness = mapping(container, "startupProbe"), mapping(container, "readinessProbe")
    if not startup:
        return _probe(readiness) if readiness else 0
    if not readiness:
        return _probe(startup)
    # Readiness is asked once startup has succeeded.
    return max(_probe(startup), _seconds(readiness, "initialDelaySeconds", 0)) + _seconds(
        readiness, "periodSeconds", 10
    )


def _probe(probe: Mapping[str, Any]) -> int:
    tries = _seconds(probe, "failureThreshold", 3)
    return _seconds(probe, "initialDelaySeconds", 0) + tries * _seconds(probe, "periodSeconds", 10)


def _seconds(value: Mapping[str, Any], field: str, default: int) -> int:
    found = get(value, field)
    return found if isinstance(found, int) else default


# --- what is said ---

_AT_MOST: Final = (
    "at most: if each old pod takes its whole grace period to end, and each new one as long as probes allow"
)


def section(found: Sequence[Rollout]) -> Section:
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


def _row(rollout: Rollout) -> tuple[Line, ...]:
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


def as_json(found: Iterable[Rollout]) -> list[dict[str, Any]]:
    """Return the rollouts for diff.json.

    Keys: `workload`, `action`, `causes`, `pods` (`min` and `max`), `atOnce`, `longestSeconds` (`null` where nothing
    restarts), `deadlineSeconds` (`null` without), `note`.
    """
    return [
        {
            "workload": rollout.workload,
            "action": rollout.action,
            "causes": list(rollout.causes),
            "pods": {"min": rollout.pods[0], "max": rollout.pods[1]},
            "atOnce": rollout.at_once,
            "longestSeconds": None if rollout.longest is None else int(rollout.longest.total_seconds()),
            "deadlineSeconds": None if rollout.deadline is None else int(rollout.deadline.total_seconds()),
            "note": rollout.note,
        }
        for rollout in found
    ]
