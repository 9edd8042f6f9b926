"""How pods start, stop, move and are replaced."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from manifests.fields import get, mapping, objects, path_to, placed, strings, text, whole
from manifests.manifest import Manifest
from manifests.stack import Stack, pod_labels, selects
from manifests.workloads import (
    kind_of,
    namespace_of,
    pod_spec,
    running_containers,
    where,
)
from policies.findings import Finding
from policies.model import Rule, manifest_rule, stack_rule

_CONTROLLERS: Final = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")
_SPREAD_OVER: Final = frozenset({"kubernetes.io/hostname", "topology.kubernetes.io/zone"})
_SLEEP: Final = re.compile(r"(?:^|[\s;&|/])sleep\s+(\d{1,6})\b", re.ASCII)


@manifest_rule(
    "distinct-probes",
    "warning",
    "A container is taken out of service before it is restarted.",
    remedy="raise livenessProbe.failureThreshold, or ask for less",
    source="kube-score `pod-probes-identical`",
)
def distinct_probes(manifest: Manifest) -> Iterator[Finding]:
    """Fires where liveness asks what readiness asks, and gives up no later: what is slow is then killed at once."""
    for container in running_containers(manifest):
        ready, alive = mapping(container, "readinessProbe"), mapping(container, "livenessProbe")
        handlers = ("exec", "grpc", "httpGet", "tcpSocket")
        same = all(get(ready, handler) == get(alive, handler) for handler in handlers)
        if ready and alive and same and _patience(alive) <= _patience(ready):
            yield Finding(
                f"{where(container)} is restarted as soon as it is not ready: both probes ask the same and give up "
                f"after {_patience(alive)} s or more",
                container.at("livenessProbe", "failureThreshold"),
            )


def _patience(probe: Manifest) -> int:
    """The seconds of failure after which a probe gives up; the defaults are Kubernetes's."""
    period, failures = whole(probe, "periodSeconds"), whole(probe, "failureThreshold")
    return (10 if period is None else period) * (3 if failures is None else failures)


@manifest_rule(
    "stop-within-grace",
    "error",
    "Pods have time to stop after their preStop hook.",
    remedy="set terminationGracePeriodSeconds to the time they need to stop, the hook included",
    source="[container hooks](https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/#hook-handler-execution)",
)
def stop_within_grace(manifest: Manifest) -> Iterator[Finding]:
    """Fires where the hook sleeps for as long as the grace period, or longer, and on a grace period of 0."""
    pod = pod_spec(manifest)
    grace, path = whole(pod, "terminationGracePeriodSeconds"), pod.at("terminationGracePeriodSeconds")
    if grace == 0:
        remedy = "set terminationGracePeriodSeconds to the time they need to stop"
        yield Finding("the pods are killed at once, with no time to stop", path, remedy)
        return
    limit = 30 if grace is None else grace
    for container in running_containers(manifest):
        hook = mapping(container, "lifecycle", "preStop")
        slept = whole(hook, "sleep", "seconds") or 0
        for found in _SLEEP.finditer(" ".join(strings(hook, "exec", "command"))):
            slept += int(found[1])
        if slept >= limit:
            yield Finding(
                f"{where(container)} sleeps {slept} s of the {limit} s that it has to stop, and is killed",
                path,
                f"set terminationGracePeriodSeconds to more than {slept}",
            )


@stack_rule(
    "replicas-spread",
    "warning",
    "Replicas are spread over nodes or zones.",
    subjects=lambda stack: stack.of_kind("Deployment", "StatefulSet"),
    remedy="add topologySpreadConstraints over kubernetes.io/hostname for the pods' own labels",
    source="kube-score `deployment-has-host-podantiaffinity`; kube-linter `no-anti-affinity`; "
    "polaris `topologySpreadConstraint`",
)
def replicas_spread(workload: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on two replicas or more without a spread constraint or anti-affinity that selects their own pods."""
    if stack.replicas(workload)[0] < 2:
        return
    pod = pod_spec(workload)
    terms = list(_spreading(pod))
    labels = pod_labels(workload)
    if not any(selects(mapping(term, "labelSelector"), labels) for term in terms):
        wrong = ": its constraints select other pods" if terms else ""
        what = f"one node may hold all replicas and take them down with it{wrong}"
        yield Finding(what, pod.at("topologySpreadConstraints"))


def _spreading(pod: Manifest) -> Iterator[Manifest]:
    anti = mapping(pod, "affinity", "podAntiAffinity")
    preferred = objects(anti, "preferredDuringSchedulingIgnoredDuringExecution")
    for term in (
        *objects(pod, "topologySpreadConstraints"),
        *objects(anti, "requiredDuringSchedulingIgnoredDuringExecution"),
        *(mapping(term, "podAffinityTerm") for term in preferred),
    ):
        if text(term, "topologyKey") in _SPREAD_OVER and get(term, "labelSelector") is not None:
            yield term


@stack_rule(
    "pdb-exists",
    "warning",
    "Workloads with replicas have a PodDisruptionBudget.",
    subjects=lambda stack: stack.of_kind("Deployment", "StatefulSet"),
    remedy="add a PodDisruptionBudget with maxUnavailable: 1",
    source="kube-score `deployment-has-poddisruptionbudget`; polaris `missingPodDisruptionBudget`",
    complete=True,
)
def pdb_exists(workload: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on two replicas or more that no budget selects."""
    if stack.replicas(workload)[0] >= 2 and not stack.budgets(workload):
        yield Finding("a drain may evict all replicas at once")


@stack_rule(
    "rolling-update",
    "warning",
    "Updates of replicas leave some of them running.",
    subjects=lambda stack: stack.of_kind("Deployment"),
    remedy="set strategy.type: RollingUpdate, with rollingUpdate.maxUnavailable below 100%",
    source="kube-linter `no-rolling-update-strategy`",
)
def rolling_update(workload: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on `Recreate`, and on `maxUnavailable: 100%`, for two replicas or more."""
    if stack.replicas(workload)[0] < 2:
        return
    strategy = mapping(workload, "spec", "strategy")
    if text(strategy, "type") == "Recreate":
        remedy = "set strategy.type: RollingUpdate"
        yield Finding("every update stops all replicas first", "spec.strategy.type", remedy)
    elif get(strategy, "rollingUpdate", "maxUnavailable") == "100%":
        path = "spec.strategy.rollingUpdate.maxUnavailable"
        remedy = "set strategy.rollingUpdate.maxUnavailable: 0"
        yield Finding("every update may stop all replicas at once", path, remedy)


@manifest_rule(
    "selector-matches-template",
    "error",
    "Workloads select the pods that they make.",
    remedy="set spec.selector.matchLabels to labels of the pod template",
    source="kube-linter `mismatching-selector`; "
    "kube-score `deployment-pod-selector-labels-match-template-metadata-labels`",
)
def selector_matches_template(manifest: Manifest) -> Iterator[Finding]:
    """Fires on a selector that is missing, or that the template's labels do not meet: the API server refuses both."""
    if kind_of(manifest) not in _CONTROLLERS:
        return
    selector = mapping(manifest, "spec", "selector")
    if not selector:
        yield Finding("has no selector", "spec.selector.matchLabels")
    elif not selects(selector, pod_labels(manifest)):
        yield Finding("does not select the pods that it makes", "spec.selector")


@stack_rule(
    "disjoint-selectors",
    "error",
    "No workload selects the pods of another.",
    subjects=lambda stack: stack.of_kind(*_CONTROLLERS),
    remedy="give spec.selector and the template a label that only these pods have",
    source="[Deployments](https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#selector)",
)
def disjoint_selectors(workload: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on overlapping selectors: rollouts, autoscalers and budgets then count the wrong pods."""
    selector = mapping(workload, "spec", "selector")
    if not selector or not selects(selector, pod_labels(workload)):  # the business of selector-matches-template
        return
    for other in stack.selected(namespace_of(workload), selector):
        if other is not workload and kind_of(other) in _CONTROLLERS:
            whose = f'{kind_of(other)} "{text(other, "metadata", "name")}"'
            yield Finding(f"also selects the pods of {whose} and counts them as its own", "spec.selector")


@stack_rule(
    "claim-single-writer",
    "error",
    "A volume for one node is used by one pod at a time.",
    subjects=lambda stack: stack.of_kind("Deployment"),
    remedy="use a StatefulSet with volumeClaimTemplates, or ReadWriteMany; with one replica: strategy.type: Recreate",
    source="[access modes](https://kubernetes.io/docs/concepts/storage/persistent-volumes/#access-modes)",
)
def claim_single_writer(workload: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on a ReadWriteOnce claim under several replicas, or under an update that starts the new pod first."""
    for volume in placed(pod_spec(workload), "volumes"):
        name = text(volume, "persistentVolumeClaim", "claimName")
        claim = stack.named("PersistentVolumeClaim", namespace_of(workload), name) if name else None
        modes = set(strings(claim, "spec", "accessModes"))
        if not modes or not modes <= {"ReadWriteOnce", "ReadWriteOncePod"}:
            continue
        if stack.replicas(workload)[1] > 1:
            yield Finding(
                f'the claim "{name}" is {min(modes)}, so replicas on other nodes never start',
                volume.at("persistentVolumeClaim", "claimName"),
                "use a StatefulSet with volumeClaimTemplates, or ReadWriteMany",
            )
        elif _surges(mapping(workload, "spec", "strategy")):
            yield Finding(
                f'the claim "{name}" is {min(modes)}, so the new pod of an update waits for the old one, and that for '
                "the new one",
                "spec.strategy.type",
                "set strategy.type: Recreate",
            )


def _surges(strategy: Manifest) -> bool:
    if text(strategy, "type") == "Recreate":
        return False
    unavailable: Any = get(strategy, "rollingUpdate", "maxUnavailable")
    return get(strategy, "rollingUpdate", "maxSurge") not in (0, "0%") or unavailable in (0, "0%")


@stack_rule(
    "stateful-set-service",
    "error",
    "The service of a StatefulSet exists and gives its pods names.",
    subjects=lambda stack: stack.of_kind("StatefulSet"),
    remedy="add the Service with clusterIP: None",
    source="kube-score `statefulset-has-servicename`",
    complete=True,
)
def stateful_set_service(workload: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on a `serviceName` without Service, and with several replicas on a Service that is not headless."""
    name = text(workload, "spec", "serviceName")
    if not name:
        return
    service = stack.named("Service", namespace_of(workload), name)
    if service is None:
        what = f'spec.serviceName names the Service "{name}", which does not exist'
        yield Finding(what, "spec.serviceName", "add it with clusterIP: None")
    elif get(service, "spec", "clusterIP") != "None" and stack.replicas(workload)[1] > 1:
        what = f'the Service "{name}" is not headless, so the pods get no names of their own'
        yield Finding(what, "spec.serviceName", "set its clusterIP: None")


@manifest_rule(
    "cron-job-concurrency",
    "warning",
    "CronJobs say what happens while the last run goes on.",
    remedy="set spec.concurrencyPolicy: Forbid",
    source="[CronJobs](https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#concurrency-policy)",
)
def cron_job_concurrency(manifest: Manifest) -> Iterator[Finding]:
    """Fires unless `concurrencyPolicy` is Forbid or Replace: by default slow runs pile up."""
    if kind_of(manifest) == "CronJob" and get(manifest, "spec", "concurrencyPolicy") not in ("Forbid", "Replace"):
        yield Finding("slow runs pile up", "spec.concurrencyPolicy")


@manifest_rule(
    "cron-job-deadline",
    "warning",
    "CronJobs say how late a run may start.",
    remedy="set spec.startingDeadlineSeconds",
    source="kube-score `cronjob-has-deadline`",
)
def cron_job_deadline(manifest: Manifest) -> Iterator[Finding]:
    """Fires without `startingDeadlineSeconds`: a run that was missed, by hours perhaps, starts all the same.

    Silent on a suspended one, which a person starts.
    See https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#starting-deadline.
    """
    if kind_of(manifest) != "CronJob" or get(manifest, "spec", "suspend") is True:
        return
    if whole(manifest, "spec", "startingDeadlineSeconds") is None:
        yield Finding("starts a run that was missed however late it is", "spec.startingDeadlineSeconds")


@manifest_rule("job-deadline", "warning", "Jobs end.", remedy="set activeDeadlineSeconds of the Job")
def job_deadline(manifest: Manifest) -> Iterator[Finding]:
    """Fires without `activeDeadlineSeconds`; silent on a suspended CronJob, which a person starts and watches."""
    spec = {"Job": ("spec",), "CronJob": ("spec", "jobTemplate", "spec")}.get(kind_of(manifest))
    if spec is None or (kind_of(manifest) == "CronJob" and get(manifest, "spec", "suspend") is True):
        return
    if whole(manifest, *spec, "activeDeadlineSeconds") is None:
        path = path_to("", *spec, "activeDeadlineSeconds")
        yield Finding("a run that hangs holds its resources for ever", path, f"set {path}")


RULES: tuple[Rule, ...] = (
    distinct_probes,
    stop_within_grace,
    replicas_spread,
    pdb_exists,
    rolling_update,
    selector_matches_template,
    disjoint_selectors,
    claim_single_writer,
    stateful_set_service,
    cron_job_concurrency,
    cron_job_deadline,
    job_deadline,
)
