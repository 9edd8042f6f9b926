"""How fast a controller makes other pods, and how long that takes at most.

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
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from agentstack.compare.snapshot import Object, Snapshot
from manifests.capacity import Workload
from manifests.fields import get, mapping, objects, text
from manifests.labels import TRACK
from manifests.quantities import share_of
from manifests.workloads import containers, pod_spec, pod_template, running_containers

from .model import WorkloadRollout


def span(workload: Workload) -> tuple[int, int]:
    """Return how many pods a workload has, at least and at most."""
    return workload.minimum, workload.maximum


def candidate(known: Object, workload: Workload) -> WorkloadRollout:
    """Return what becomes of the pods of a candidate, which start beside the stable version."""
    note = "beside the stable version (docs/releases.md)"
    return WorkloadRollout(
        known.title, "starts", ("a release",), span(workload), longest=_pod(known.manifest), note=note
    )


def track(known: Object) -> str:
    """Return whether a workload runs the stable version of an agent or a candidate; empty for what is no agent's."""
    return text(pod_template(known.manifest), "metadata", "labels", TRACK)


def restart(known: Object, workload: Workload, after: Snapshot, causes: tuple[str, ...]) -> WorkloadRollout:
    """Return how the pods of a workload of `after` are replaced, and how long that takes at most."""
    manifest, (low, high) = known.manifest, span(workload)
    each = _pod(manifest)
    rolled = WorkloadRollout(known.title, "restarts", causes, (low, high))
    match known.key[0]:
        case "PodTemplate":
            controller = after.objects.get(("Deployment", known.key[1], f"{known.key[2]}-fleet"))
            percent = _percent(controller)
            at_once = max(1, high * percent // 100)
            return replace(
                rolled,
                at_once=f"{at_once} ({percent} %) at a time",
                longest=each * math.ceil(high / at_once),
                note="one pod a device; the controller of the fleet recreates them (docs/fleets.md)",
            )
        case "Deployment":
            return _deployment(rolled, known, each)
        case "StatefulSet":
            return _stateful_set(rolled, manifest, each)
        case _:
            return _daemon_set(rolled, manifest, each)


def _deployment(rolled: WorkloadRollout, known: Object, each: timedelta) -> WorkloadRollout:
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
    released = any(cause.startswith("image ") for cause in rolled.causes) and track(known) in ("stable", "blue")
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


def _stateful_set(rolled: WorkloadRollout, manifest: Mapping[str, Any], each: timedelta) -> WorkloadRollout:
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


def _daemon_set(rolled: WorkloadRollout, manifest: Mapping[str, Any], each: timedelta) -> WorkloadRollout:
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
