"""Services, disruption budgets and autoscalers against the workloads they are for."""

from __future__ import annotations

from collections.abc import Iterator

from manifests.fields import get, mapping, placed, text, whole
from manifests.manifest import Manifest
from manifests.quantities import share_of
from manifests.stack import Stack
from manifests.workloads import (
    SCALED_KINDS,
    effective_request,
    kind_of,
    namespace_of,
    running_containers,
    scale_target,
    where,
)
from policies.findings import Finding
from policies.model import Rule, manifest_rule, stack_rule


@stack_rule(
    "service-selects-pods",
    "error",
    "Services select pods of the stack.",
    subjects=lambda stack: stack.of_kind("Service"),
    remedy="make spec.selector equal to the labels of the pod template",
)
def service_selects_pods(service: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on a Service with a selector that no pod has; not on one without selector or an ExternalName."""
    selector = mapping(service, "spec", "selector")
    if not selector or get(service, "spec", "type") == "ExternalName":
        return
    wanted = {"matchLabels": selector}
    if not any(stack.selected(namespace_of(service), wanted)) and not stack.operated(namespace_of(service), wanted):
        yield Finding("selects no pod of this namespace, so connections are refused", "spec.selector")


@stack_rule(
    "pdb-selects-pods",
    "error",
    "PodDisruptionBudgets select pods of the stack.",
    subjects=lambda stack: stack.of_kind("PodDisruptionBudget"),
    remedy="make spec.selector equal to the labels of the pod template, or remove it",
)
def pdb_selects_pods(budget: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on a budget that protects nothing."""
    if not stack.budgeted(budget) and not stack.operated(namespace_of(budget), mapping(budget, "spec", "selector")):
        yield Finding("selects no pod of this namespace, so it protects nothing", "spec.selector")


@stack_rule(
    "pdb-allows-drain",
    "error",
    "PodDisruptionBudgets let nodes be drained.",
    subjects=lambda stack: stack.of_kind("PodDisruptionBudget"),
    remedy="set maxUnavailable: 1",
)
def pdb_allows_drain(budget: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on a budget that forbids every eviction at any number of replicas that its workloads may run with."""
    if get(budget, "spec", "maxUnavailable") in (0, "0%"):
        yield Finding("forbids every eviction, so nodes cannot be drained", "spec.maxUnavailable")
    min_available = get(budget, "spec", "minAvailable")
    if min_available is None:
        return
    ranges = [stack.replicas(workload) for workload in stack.budgeted(budget)]
    fewest, most = sum(low for low, _ in ranges), sum(high for _, high in ranges)
    # Whatever it is, a share or a number: the more pods run, the more may be evicted.
    needed = ((pods, share_of(min_available, pods, up=True) or 0) for pods in range(fewest, most + 1))
    blocked = next((pods - 1 for pods, least in needed if least < pods), most)
    if fewest and blocked >= fewest:
        pods_text = "1 pod" if blocked == 1 else f"{blocked} pods"
        yield Finding(
            f"minAvailable: {min_available} forbids every eviction when the selected workloads run "
            f"{pods_text if blocked == fewest else f'{fewest} to {pods_text}'}, so nodes cannot be drained",
            "spec.minAvailable",
            "set maxUnavailable: 1 instead",
        )


@stack_rule(
    "hpa-target-requests",
    "error",
    "The target of a HorizontalPodAutoscaler or ScaledObject requests the resources it is scaled by.",
    subjects=lambda stack: stack.of_kind("HorizontalPodAutoscaler", "ScaledObject"),
    remedy="set resources.requests on every container of the target, or correct the target's name",
)
def hpa_target_requests(autoscaler: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires when a container, sidecars included, lacks a request that a utilization is computed from.

    Also on a target of a built-in kind that the stack does not declare.
    """
    kind, namespace, name = scale_target(autoscaler)
    if kind not in SCALED_KINDS:
        return
    workload = stack.workload(kind, namespace, name)
    if workload is None:
        what = f'scales {kind} "{name}", which this namespace does not have'
        yield Finding(what, "spec.scaleTargetRef.name", "correct spec.scaleTargetRef")
        return
    containers = list(running_containers(workload))
    for resource, only, path in _utilization_metrics(autoscaler):
        counted = [c for c in containers if only is None or get(c, "name") == only]
        if not counted:
            what = f'scales by the {resource} of a container "{only}", which {kind} "{name}" does not have'
            yield Finding(what, path, "correct its name")
        for container in counted:
            if effective_request(container, resource) is None:
                yield Finding(
                    f'cannot compute {resource} utilization: {where(container)} of {kind} "{name}" requests none',
                    path,
                    f"set its resources.requests.{resource}",
                )


def _utilization_metrics(autoscaler: Manifest) -> Iterator[tuple[str, str | None, str]]:
    """The resources scaled by utilization, each with the one container that counts, or None for all, and its place."""
    if kind_of(autoscaler) == "ScaledObject":
        for trigger in placed(autoscaler, "spec", "triggers"):
            if get(trigger, "type") in ("cpu", "memory") and get(trigger, "metricType") == "Utilization":
                yield text(trigger, "type"), text(trigger, "metadata", "containerName") or None, trigger.path
        return
    metrics = placed(autoscaler, "spec", "metrics")
    if not metrics:  # the default, and all there is in autoscaling/v1: CPU utilization
        yield "cpu", None, "spec.scaleTargetRef"
    for metric in metrics:
        kind = get(metric, "type")
        field = "resource" if kind == "Resource" else "containerResource"
        source = mapping(metric, field)
        if kind in ("Resource", "ContainerResource") and get(source, "target", "type") == "Utilization":
            only = None if kind == "Resource" else text(source, "container")
            yield text(source, "name"), only, metric.at(field)


@stack_rule(
    "single-replicas-owner",
    "error",
    "Either the workload or one autoscaler sets the number of replicas.",
    subjects=lambda stack: stack.of_kind(*sorted(SCALED_KINDS)),
    remedy="remove spec.replicas of a workload that is scaled, and keep one autoscaler for it",
)
def single_replicas_owner(workload: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on a workload with `replicas` and an autoscaler, or with two autoscalers."""
    names = [f'{kind_of(a)} "{text(a, "metadata", "name")}"' for a in stack.autoscalers(workload)]
    if names and get(workload, "spec", "replicas") is not None:
        yield Finding(
            f"every deployment resets the replicas, which are for {' and '.join(names)} to set",
            "spec.replicas",
            "remove spec.replicas",
        )
    if len(names) > 1:
        yield Finding(f"{' and '.join(names)} fight over the replicas", remedy="keep one of them")


@manifest_rule(
    "autoscaler-range",
    "error",
    "Autoscalers have a range to scale in.",
    remedy="raise the maximum",
    source="polaris `hpaMaxAvailability`",
)
def autoscaler_range(manifest: Manifest) -> Iterator[Finding]:
    """Fires where the most replicas are fewer than the fewest, which the API server refuses."""
    fields = {
        "HorizontalPodAutoscaler": ("minReplicas", "maxReplicas", 1),
        "ScaledObject": ("minReplicaCount", "maxReplicaCount", 0),
    }
    if kind_of(manifest) not in fields:
        return
    low_field, high_field, default = fields[kind_of(manifest)]
    low, high = whole(manifest, "spec", low_field), whole(manifest, "spec", high_field)
    fewest = default if low is None else low
    if high is not None and high < fewest:
        yield Finding(f"{high_field} {high} is below {low_field} {fewest}", f"spec.{high_field}", f"raise {high_field}")


RULES: tuple[Rule, ...] = (
    service_selects_pods,
    pdb_selects_pods,
    pdb_allows_drain,
    hpa_target_requests,
    single_replicas_owner,
    autoscaler_range,
)
