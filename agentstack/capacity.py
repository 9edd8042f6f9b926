"""What the pods of each namespace ask for at least and at most, read from the objects alone."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from components.labels import DEVICES

from .where import Where

RESOURCES = ("requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
"""What is counted beside pods, as a ResourceQuota names it; CPU in cores, memory in bytes."""

_SUFFIXES = {
    "m": Decimal("0.001"),
    "k": Decimal(1000),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("MGTPE", start=2)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}

Amounts = dict[str, Decimal]


@dataclass(frozen=True)
class Workload:
    """One kind of pod: how many of them there are, and what each asks for."""

    kind: str
    name: str
    minimum: int
    maximum: int
    pod: Amounts
    """By the names in `RESOURCES`."""
    where: Where = field(default_factory=Where)
    """On which nodes they can run."""

    @property
    def ends(self) -> bool:
        """Whether its pods finish by themselves."""
        return self.kind in ("Job", "CronJob")


@dataclass
class NamespaceCapacity:
    """The workloads of one namespace and its quota. A DaemonSet counts as on one node."""

    name: str
    workloads: list[Workload] = field(default_factory=list)
    quota: Amounts = field(default_factory=dict)
    """By the names in `RESOURCES`, and `pods`; what has no quota is absent."""

    @property
    def per_node(self) -> bool:
        """Whether the numbers grow with the nodes."""
        return any(workload.kind == "DaemonSet" for workload in self.workloads)

    def pods(self, *, ending: bool = False) -> tuple[int, int]:
        """Return the numbers of pods, at least and at most; those of Jobs with `ending`, and only those."""
        counted = [workload for workload in self.workloads if workload.ends == ending]
        return sum(workload.minimum for workload in counted), sum(workload.maximum for workload in counted)

    def asked(self, resource: str) -> tuple[Decimal, Decimal]:
        """Return what all pods, Jobs' as well, ask for of `resource` at least and at most."""
        zero = Decimal(0)
        low = sum((workload.minimum * workload.pod.get(resource, zero) for workload in self.workloads), zero)
        high = sum((workload.maximum * workload.pod.get(resource, zero) for workload in self.workloads), zero)
        return low, high

    def excesses(self) -> list[str]:
        """Say where the most that can be asked for exceeds the quota, and what asks for most of it."""
        found = []
        for resource, quota in self.quota.items():
            each = {"pods": Decimal(1)}  # a pod counts as one pod
            shares = [(w.maximum * (each | w.pod).get(resource, Decimal(0)), w.name) for w in self.workloads]
            most = sum((share for share, _ in shares), Decimal(0))
            if most > quota:
                heaviest = sorted(shares, key=lambda share: (-share[0], share[1]))[:3]
                named = ", ".join(f"{name} {amount_text(share, resource)}" for share, name in heaviest)
                found.append(
                    f"{self.name}: at most {amount_text(most, resource)} of {resource}, "
                    f"{amount_text(most - quota, resource)} more than the quota of {amount_text(quota, resource)}: "
                    f"the last pods will not start (heaviest: {named})"
                )
        return found


def capacity(objects: Iterable[Mapping[str, Any]]) -> list[NamespaceCapacity]:
    """Return the capacity of every namespace that has pods or a quota, by name."""
    objects = list(objects)
    scaled = {_target(o): _range(o) for o in objects if o["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")}
    defaults = {_namespace(o): o["spec"] for o in objects if o["kind"] == "LimitRange"}
    found: dict[str, NamespaceCapacity] = {}
    for content in objects:
        name = _namespace(content)
        if content["kind"] == "ResourceQuota":
            quota = found.setdefault(name, NamespaceCapacity(name)).quota
            for key, value in content["spec"].get("hard", {}).items():
                # Kubernetes has two names for the same: `cpu` is `requests.cpu`.
                quota[f"requests.{key}" if key in ("cpu", "memory") else key] = quantity(value)
        elif (template := _pod_template(content)) is not None:
            low, high = _replicas(content, scaled)
            pod = _pod(template["spec"], defaults.get(name))
            workload = Workload(content["kind"], content["metadata"]["name"], low, high, pod, Where.of(template))
            found.setdefault(name, NamespaceCapacity(name)).workloads.append(workload)
    for namespace in found.values():
        namespace.workloads.sort(key=lambda workload: (workload.name, workload.kind))
        namespace.quota = {key: namespace.quota[key] for key in ("pods", *RESOURCES) if key in namespace.quota}
    return [found[name] for name in sorted(found)]


@functools.lru_cache(maxsize=1024)
def quantity(value: str | float) -> Decimal:
    """Read a Kubernetes quantity, such as `500m`, `2Gi` or `1e3`, in its base unit."""
    text = str(value)
    for length in (2, 1):
        if text[-length:] in _SUFFIXES:
            return Decimal(text[:-length]) * _SUFFIXES[text[-length:]]
    return Decimal(text)


def amount_text(amount: Decimal, resource: str) -> str:
    """Write an amount in the unit that people use: cores, `Mi` or `Gi`, or a plain number."""
    if not resource.endswith("memory"):
        return f"{amount.normalize():f}"
    mebibytes = float(amount) / 1024**2
    return f"{mebibytes / 1024:.4g}Gi" if mebibytes >= 1024 else f"{mebibytes:.4g}Mi"


def _namespace(content: Mapping[str, Any]) -> str:
    return str(content["metadata"].get("namespace", "default"))


def _target(autoscaler: Mapping[str, Any]) -> tuple[str, str, str]:
    reference = autoscaler["spec"]["scaleTargetRef"]
    # A ScaledObject may leave out the kind.
    return _namespace(autoscaler), reference.get("kind", "Deployment"), reference["name"]


def _range(autoscaler: Mapping[str, Any]) -> tuple[int, int]:
    spec = autoscaler["spec"]
    if autoscaler["kind"] == "ScaledObject":
        # https://keda.sh/docs/2.21/reference/scaledobject-spec/#maxreplicacount
        return int(spec.get("minReplicaCount", 0)), int(spec.get("maxReplicaCount", 100))
    return int(spec.get("minReplicas", 1)), int(spec["maxReplicas"])


def _pod_template(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    match content["kind"]:
        case "Deployment" | "StatefulSet" | "DaemonSet" | "Job":
            template: Mapping[str, Any] = content["spec"]["template"]
            return template
        case "CronJob":
            return _pod_template({"kind": "Job", **content["spec"]["jobTemplate"]})
        case "PodTemplate":
            fleet: Mapping[str, Any] = content["template"]
            return fleet
        case "Pod":
            return content
        case _:
            return None


def _replicas(content: Mapping[str, Any], scaled: Mapping[tuple[str, str, str], tuple[int, int]]) -> tuple[int, int]:
    if content["kind"] == "PodTemplate":
        devices = int(content["metadata"].get("annotations", {}).get(DEVICES, 0))
        return devices, devices
    spec = content["spec"]
    span = scaled.get((_namespace(content), content["kind"], content["metadata"]["name"]))
    if span is not None:
        return span
    match content["kind"]:
        case "Deployment" | "StatefulSet":
            replicas = int(spec.get("replicas", 1))
        case "Job":
            replicas = int(spec.get("parallelism", 1))
        case "CronJob":
            return 0, int(spec["jobTemplate"]["spec"].get("parallelism", 1))
        case _:
            replicas = 1
    return replicas, replicas


def _pod(spec: Mapping[str, Any], limit_range: Mapping[str, Any] | None) -> Amounts:
    return {resource: _of_pod(spec, resource, limit_range) for resource in RESOURCES}


def _of_pod(spec: Mapping[str, Any], resource: str, limit_range: Mapping[str, Any] | None) -> Decimal:
    """Return what the scheduler counts: all containers together, or an init container that asks for more.

    https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers
    """
    sidecars = highest = Decimal(0)
    for container in spec.get("initContainers", []):
        amount = _of_container(container, resource, limit_range)
        highest = max(highest, sidecars + amount)
        if container.get("restartPolicy") == "Always":
            sidecars += amount
    running = sum((_of_container(c, resource, limit_range) for c in spec.get("containers", [])), sidecars)
    return max(running, highest)


def _of_container(container: Mapping[str, Any], resource: str, limit_range: Mapping[str, Any] | None) -> Decimal:
    section, _, name = resource.partition(".")
    own = container.get("resources", {})
    items = [item for item in (limit_range or {}).get("limits", []) if item.get("type") == "Container"]
    default = items[0] if items else {}
    # A request that is not set is the container's own limit before it is the namespace's default.
    chain = [own.get("limits"), default.get("default")]
    if section == "requests":
        chain = [own.get("requests"), own.get("limits"), default.get("defaultRequest"), default.get("default")]
    for amounts in chain:
        if amounts and name in amounts:
            return quantity(amounts[name])
    return Decimal(0)
