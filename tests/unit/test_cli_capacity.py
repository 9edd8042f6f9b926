"""Pods and requests of a namespace, counted as the scheduler and the quota count them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from manifests.capacity import NamespaceCapacity, capacity
from manifests.fields import UNKNOWN, UnknownValueError
from manifests.quantities import amount_text, quantity

MI = 1024**2
API_VERSIONS = {"Job": "batch/v1", "CronJob": "batch/v1"}


def container(cpu: str = "100m", memory: str = "64Mi", **more: Any) -> dict[str, Any]:
    amounts = {"cpu": cpu, "memory": memory}
    return {"resources": {"requests": amounts, "limits": amounts}, **more}


def workload(kind: str, name: str = "x", pod: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    template = {"template": {"spec": pod or {"containers": [container()]}}}
    return {
        "apiVersion": API_VERSIONS.get(kind, "apps/v1"),
        "kind": kind,
        "metadata": {"name": name, "namespace": "space"},
        "spec": {**template, **spec},
    }


def scaler(low: int, high: int, name: str = "x", kind: str = "Deployment") -> dict[str, Any]:
    spec = {"scaleTargetRef": {"kind": kind, "name": name}, "minReplicas": low, "maxReplicas": high}
    head = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
    return {**head, "metadata": {"name": name, "namespace": "space"}, "spec": spec}


def queue_scaler(**spec: Any) -> dict[str, Any]:
    spec = {"scaleTargetRef": {"name": "x"}, **spec}
    head = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject"}
    return {**head, "metadata": {"name": "x", "namespace": "space"}, "spec": spec}


def quota(**hard: str) -> dict[str, Any]:
    hard = {key.replace("_", "."): value for key, value in hard.items()}
    metadata = {"name": "q", "namespace": "space"}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": hard}}


def only(*objects: dict[str, Any]) -> NamespaceCapacity:
    (namespace,) = capacity(objects)
    return namespace


@pytest.mark.parametrize(
    ("text", "amount"),
    [("500m", "0.5"), ("2", "2"), ("0.1", "0.1"), ("1k", "1000"), ("2Gi", 2 * 1024**3), ("1M", "1e6"), ("1e3", "1000")],
)
def test_quantities(text: str, amount: str) -> None:
    assert quantity(text) == Decimal(amount)


@pytest.mark.parametrize(
    ("amount", "resource", "text"),
    [
        ("0.25", "requests.cpu", "0.25"),
        ("100", "limits.cpu", "100"),
        (str(96 * MI), "requests.memory", "96Mi"),
        (str(1536 * MI), "limits.memory", "1.5Gi"),
        ("20", "pods", "20"),
    ],
)
def test_amounts_are_written_for_people(amount: str, resource: str, text: str) -> None:
    assert amount_text(Decimal(amount), resource) == text


@pytest.mark.parametrize(
    ("objects", "pods", "jobs"),
    [
        ([workload("Deployment")], (1, 1), (0, 0)),
        ([workload("StatefulSet", replicas=3)], (3, 3), (0, 0)),
        ([workload("Deployment", replicas=0)], (0, 0), (0, 0)),
        ([workload("Deployment"), scaler(2, 9)], (2, 9), (0, 0)),
        ([workload("Deployment"), scaler(2, 9, kind="StatefulSet")], (1, 1), (0, 0)),
        ([workload("Deployment"), queue_scaler(minReplicaCount=0, maxReplicaCount=7)], (0, 7), (0, 0)),
        # What KEDA takes where nothing is said.
        ([workload("Deployment"), queue_scaler()], (0, 100), (0, 0)),
        ([workload("DaemonSet")], (1, 1), (0, 0)),
        ([workload("Job", parallelism=2)], (0, 0), (2, 2)),
    ],
)
def test_pods(objects: list[dict[str, Any]], pods: tuple[int, int], jobs: tuple[int, int]) -> None:
    namespace = only(*objects)
    assert (namespace.pods(), namespace.pods(ending=True)) == (pods, jobs)
    assert namespace.per_node == (objects[0]["kind"] == "DaemonSet")


def test_a_cron_job_and_a_bare_pod() -> None:
    cron = workload("CronJob", jobTemplate={"spec": {"template": {"spec": {"containers": [container()]}}}})
    metadata = {"name": "p", "namespace": "space"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container()]}}
    namespace = only(cron, pod)
    assert (namespace.pods(), namespace.pods(ending=True)) == ((1, 1), (0, 1))


def test_requests_at_least_and_at_most() -> None:
    namespace = only(workload("Deployment"), scaler(2, 5), workload("Job", "job"))
    assert namespace.asked("requests.cpu") == (Decimal("0.3"), Decimal("0.6"))
    assert namespace.asked("limits.memory") == (192 * MI, 384 * MI)


@pytest.mark.parametrize(
    ("pod", "cpu"),
    [
        ({"containers": [container("1"), container("500m")]}, "1.5"),
        ({"containers": [container("1")], "initContainers": [container("3"), container("2")]}, "3"),
        ({"containers": [container("1")], "initContainers": [container("2", restartPolicy="Always")]}, "3"),
        (
            {
                "containers": [container("1")],
                "initContainers": [container("2", restartPolicy="Always"), container("2")],
            },
            "4",
        ),
    ],
)
def test_a_pod_counts_as_the_scheduler_counts_it(pod: dict[str, Any], cpu: str) -> None:
    assert only(workload("Deployment", pod=pod)).asked("requests.cpu") == (Decimal(cpu), Decimal(cpu))


def test_what_a_container_does_not_ask_for() -> None:
    item = {"type": "Container", "default": {"cpu": "2"}, "defaultRequest": {"cpu": "1"}}
    metadata = {"name": "l", "namespace": "space"}
    limits = {"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata, "spec": {"limits": [item]}}
    bare = workload("Deployment", pod={"containers": [{}]})
    assert only(bare).asked("requests.cpu") == (0, 0)
    assert only(bare, limits).asked("requests.cpu") == (1, 1)
    assert only(bare, limits).asked("limits.cpu") == (2, 2)
    limited = workload("Deployment", pod={"containers": [{"resources": {"limits": {"cpu": "500m"}}}]})
    assert only(limited, limits).asked("requests.cpu") == (Decimal("0.5"), Decimal("0.5"))


def test_a_quota_that_the_most_exceeds() -> None:
    objects = [
        workload("Deployment", "big"),
        scaler(1, 8, "big"),
        workload("Deployment", "small"),
        workload("Job", "job"),
    ]
    # Job and Deployment may share a name.
    objects.append(workload("Job", "small"))
    namespace = only(*objects, quota(requests_cpu="1", limits_cpu="5", pods="10"))
    assert namespace.excesses() == {
        "pods": "at most 11 of pods, 1 more than the quota of 10: the last pods do not start "
        "(heaviest: big 8, job 1, small 1)",
        "requests.cpu": "at most 1.1 of requests.cpu, 0.1 more than the quota of 1: the last pods do not start "
        "(heaviest: big 0.8, job 0.1, small 0.1)",
    }


@pytest.mark.parametrize(
    ("kind", "spec", "surge"),
    [
        ("Deployment", {"replicas": 5}, 2),
        ("Deployment", {"replicas": 5, "strategy": {"rollingUpdate": {"maxSurge": "50%"}}}, 3),
        ("Deployment", {"replicas": 5, "strategy": {"rollingUpdate": {"maxSurge": 4}}}, 4),
        ("Deployment", {"replicas": 5, "strategy": {"type": "Recreate"}}, 0),
        ("StatefulSet", {"replicas": 5}, 0),
        ("DaemonSet", {}, 0),
        ("DaemonSet", {"updateStrategy": {"rollingUpdate": {"maxSurge": 1}}}, 1),
    ],
)
def test_how_many_pods_more_an_update_runs(kind: str, spec: dict[str, Any], surge: int) -> None:
    assert only(workload(kind, **spec)).workloads[0].surge == surge


def test_a_graphics_processor_of_an_init_container_counts_once() -> None:
    gpu = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
    pod = {"containers": [gpu, gpu], "initContainers": [gpu]}
    assert only(workload("Deployment", pod=pod)).workloads[0].where.devices == (("nvidia.com/gpu", 2),)


@pytest.mark.parametrize("amount", ["", "much", "NaN", "1e", "1GB", True, None, [], {}])
def test_what_is_no_quantity_counts_as_absent(amount: Any) -> None:
    pod = {"containers": [{"resources": {"requests": {"cpu": amount}}}]}
    deployment = workload("Deployment", pod=pod)
    deployment["spec"]["replicas"] = amount
    assert only(deployment).asked("requests.cpu") == (0, 0)


@pytest.mark.parametrize("path", [("replicas",), ("template", "metadata", "labels")])
def test_unknown_values_are_not_taken_for_numbers(path: tuple[str, ...]) -> None:
    deployment = workload("Deployment")
    target = deployment["spec"]
    for key in path[:-1]:
        target = target.setdefault(key, {})
    target[path[-1]] = UNKNOWN
    with pytest.raises(UnknownValueError):
        capacity([deployment])


def test_an_unknown_name_does_not_matter() -> None:
    job = workload("Job")
    job["metadata"]["name"] = UNKNOWN
    assert only(job).pods(ending=True) == (1, 1)


def test_a_quota_that_is_just_enough() -> None:
    assert only(workload("Deployment", replicas=10), quota(cpu="1", pods="10")).excesses() == {}


def test_namespaces_come_by_name() -> None:
    other = workload("Deployment")
    other["metadata"] = {"name": "x", "namespace": "another"}
    assert [namespace.name for namespace in capacity([workload("Deployment"), other])] == ["another", "space"]
