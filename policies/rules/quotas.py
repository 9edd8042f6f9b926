"""Amounts: of each container, and of all together against the namespace's quota and limits."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from manifests.capacity import NamespaceCapacity
from manifests.fields import Placed, get, mapping, objects, path_to, placed, text
from manifests.manifest import Manifest
from manifests.quantities import amount, amount_text
from manifests.stack import Stack
from manifests.workloads import WORKLOAD_KINDS, containers, namespace_of, pod_spec, where
from policies.findings import Finding
from policies.model import Rule, manifest_rule, stack_rule

_MEMORY_RATIO = 4
"""How many times its request a container's memory limit may be."""


@manifest_rule(
    "requests-within-limits",
    "error",
    "Requests are quantities, and no greater than limits.",
    remedy="write quantities as 500m or 2Gi, and limits no lower than requests",
    source="[resource quotas and limits](https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/)",
)
def requests_within_limits(manifest: Manifest) -> Iterator[Finding]:
    """Fires on a request above its limit, and on what is no quantity: the API server refuses both."""
    for container in containers(manifest):
        for section in ("requests", "limits"):
            for name in mapping(container, "resources", section):
                path = ("resources", section, name)
                if get(container, *path) is not None and amount(container, *path) is None:
                    what = f"{where(container)}: {'.'.join(path)} is no quantity"
                    yield Finding(what, container.at(*path), "write it as 500m or 2Gi")
        for name in mapping(container, "resources", "requests"):
            request, limit = (amount(container, "resources", section, name) for section in ("requests", "limits"))
            if request is not None and limit is not None and request > limit:
                yield Finding(
                    f"{where(container)} requests more {name} than its limit",
                    container.at("resources", "limits", name),
                    f"raise resources.limits.{name}",
                )


@manifest_rule(
    "memory-overcommit",
    "warning",
    "Memory limits are near the requests.",
    remedy="raise resources.requests.memory",
)
def memory_overcommit(manifest: Manifest) -> Iterator[Finding]:
    """Fires on a memory limit of more than 4 times the request: nodes are filled by requests and run out by use."""
    for container in containers(manifest):
        request, limit = (amount(container, "resources", section, "memory") for section in ("requests", "limits"))
        if request and limit and limit > _MEMORY_RATIO * request:
            yield Finding(
                f"{where(container)} may use {limit / request:.3g} times the memory that it requests, so its node may "
                "run out and kill others",
                container.at("resources", "requests", "memory"),
            )


@manifest_rule(
    "empty-dir-size",
    "warning",
    "Scratch volumes have a size.",
    remedy="set emptyDir.sizeLimit",
    source="[local ephemeral storage](https://kubernetes.io/docs/concepts/storage/ephemeral-storage/); "
    "kube-score `container-ephemeral-storage-request-and-limit`",
)
def empty_dir_size(manifest: Manifest) -> Iterator[Finding]:
    """Fires on an `emptyDir` without `sizeLimit`; not where all containers limit what it takes: `ephemeral-storage`, or
    `memory` for one in memory.
    """
    for volume in placed(pod_spec(manifest), "volumes"):
        if get(volume, "emptyDir") is not None and get(volume, "emptyDir", "sizeLimit") is None:
            in_memory = get(volume, "emptyDir", "medium") == "Memory"
            taken = "memory" if in_memory else "ephemeral-storage"
            if any(get(container, "resources", "limits", taken) is None for container in containers(manifest)):
                filled = "memory" if in_memory else "disk"
                what = f'the volume "{text(volume, "name")}" may fill the {filled} of its node'
                yield Finding(what, volume.at("emptyDir", "sizeLimit"))


@stack_rule(
    "quota-fits",
    "error",
    "What a namespace's pods ask for at most, with the surge of an update, fits its quota.",
    subjects=lambda stack: stack.of_kind("ResourceQuota"),
    remedy="raise spec.hard or lower replicas",
)
def quota_fits(quota: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires where the workloads at their most replicas exceed the quota, or do while one of them rolls.

    A DaemonSet counts as on one node. All at most and all rolling at once would be asking for more than happens.
    """
    for namespace in stack.capacity:
        if namespace.name != namespace_of(quota):
            continue
        excesses = namespace.excesses()
        for resource, hard in namespace.quota.items():
            key = _key(quota, resource)
            if key is None:
                continue
            most, rolling, who = _most(namespace, resource)
            if resource in excesses:
                yield Finding(excesses[resource], path_to("spec.hard", key))
            elif most + rolling > hard:
                yield Finding(
                    f"at their most, and while {who} is updated, the workloads ask for "
                    f"{amount_text(most + rolling, resource)} of {resource}, and the quota is "
                    f"{amount_text(hard, resource)}: the update stops there",
                    path_to("spec.hard", key),
                )


def _key(quota: Manifest, resource: str) -> str | None:
    """Return the name under which a quota limits a resource, with or without `requests.`; None if it does not."""
    hard = mapping(quota, "spec", "hard")
    names = (resource, resource.removeprefix("requests."))
    return next((name for name in names if name in hard), None)


def _most(namespace: NamespaceCapacity, resource: str) -> tuple[Decimal, Decimal, str]:
    """What all ask for at most, the most that updating one of them adds, and that one."""
    most, rolling, who = Decimal(0), Decimal(0), ""
    for workload in namespace.workloads:
        each = Decimal(1) if resource == "pods" else workload.pod.get(resource, Decimal(0))
        most += workload.maximum * each
        if workload.surge * each > rolling:
            rolling, who = workload.surge * each, workload.name
    return most, rolling, who


@stack_rule(
    "limit-range-fits",
    "error",
    "Containers ask for what the LimitRange of their namespace allows.",
    subjects=lambda stack: stack.of_kind(*WORKLOAD_KINDS),
    remedy="change the LimitRange or the container",
    source="[limit ranges](https://kubernetes.io/docs/concepts/policy/limit-range/)",
)
def limit_range_fits(workload: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on a container above the maximum or below the minimum: the API server refuses its pods."""
    for limit_range in stack.in_namespace("LimitRange", namespace_of(workload)):
        for item in objects(limit_range, "spec", "limits"):
            if text(item, "type") != "Container":
                continue
            for container in containers(workload):
                yield from _outside(container, item, text(limit_range, "metadata", "name"))


def _outside(container: Placed, item: Manifest, name: str) -> Iterator[Finding]:
    so = f'the LimitRange "{name}" refuses its pods'
    for resource in mapping(item, "max"):
        limit, highest = amount(container, "resources", "limits", resource), amount(item, "max", resource)
        if limit is not None and highest is not None and limit > highest:
            what = f"{where(container)} has a {resource} limit above {get(item, 'max', resource)}: {so}"
            yield Finding(what, container.at("resources", "limits", resource))
    for resource in mapping(item, "min"):
        request, lowest = amount(container, "resources", "requests", resource), amount(item, "min", resource)
        if request is not None and lowest is not None and request < lowest:
            what = f"{where(container)} requests less {resource} than {get(item, 'min', resource)}: {so}"
            yield Finding(what, container.at("resources", "requests", resource))


RULES: tuple[Rule, ...] = (
    requests_within_limits,
    memory_overcommit,
    empty_dir_size,
    quota_fits,
    limit_range_fits,
)
