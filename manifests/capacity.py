"""What the pods of each namespace ask for at least and at most, read from the objects alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from .fields import get, mapping, objects, text
from .labels import DEVICES
from .manifest import Manifest, identity
from .nodes import Where
from .quantities import amount, amount_text, share_of
from .workloads import WORKLOAD_KINDS, containers, kind_of, namespace_of, pod_spec, pod_template, scale_target

RESOURCES = ("requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
"""What is counted beside pods, as a ResourceQuota names it; CPU in cores, memory in bytes."""

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
    surge: int = 0
    """How many pods more than `maximum` an update may run for a while."""
    manifest: Manifest = field(default_factory=dict, repr=False, compare=False)
    """The object itself."""

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

    def excesses(self) -> dict[str, str]:
        """Say by resource where the most that can be asked for exceeds the quota, and what asks for most of it."""
        found = {}
        for resource, quota in self.quota.items():
            each = {"pods": Decimal(1)}  # a pod counts as one pod
            shares = [(w.maximum * (each | w.pod).get(resource, Decimal(0)), w.name) for w in self.workloads]
            most = sum((share for share, _ in shares), Decimal(0))
            if most > quota:
                heaviest = sorted(shares, key=lambda share: (-share[0], share[1]))[:3]
                named = ", ".join(f"{name} {amount_text(share, resource)}" for share, name in heaviest)
                found[resource] = (
                    f"at most {amount_text(most, resource)} of {resource}, {amount_text(most - quota, resource)} more "
                    f"than the quota of {amount_text(quota, resource)}: the last pods do not start (heaviest: {named})"
                )
        return found


def capacity(manifests: Iterable[Manifest]) -> list[NamespaceCapacity]:
    """Return the capacity of every namespace that has pods or a quota, by name.

    What another of the `manifests` makes, as in a list of what runs, counts once: a Deployment, and not its pods too.
    Missing and mistyped fields count as not given. Raises `UnknownValueError` where a value that counts is unknown
    before deployment; the name of an object is empty then.
    """
    manifests = list(manifests)
    spans = {scale_target(m): _span(m) for m in manifests if kind_of(m) in ("HorizontalPodAutoscaler", "ScaledObject")}
    defaults = {namespace_of(m): m for m in manifests if kind_of(m) == "LimitRange"}
    present = {(kind_of(m), namespace_of(m), identity(m)[2]) for m in manifests if kind_of(m) in WORKLOAD_KINDS}
    found: dict[str, NamespaceCapacity] = {}
    for manifest in manifests:
        kind = kind_of(manifest)
        if kind == "ResourceQuota":
            quota = found.setdefault(namespace_of(manifest), NamespaceCapacity(namespace_of(manifest))).quota
            for key in mapping(manifest, "spec", "hard"):
                # Kubernetes has two names for the same: `cpu` is `requests.cpu`.
                name = f"requests.{key}" if key in ("cpu", "memory") else key
                if name in ("pods", *RESOURCES):
                    hard = amount(manifest, "spec", "hard", key)
                    if hard is not None:
                        quota[name] = hard
        elif (template := pod_template(manifest)) is not None and not _owners(manifest) & present:
            name = namespace_of(manifest)
            low, high = _replicas(manifest, spans)
            limit_range = _container_limits(defaults.get(name, {}))
            workload = Workload(
                kind,
                identity(manifest)[2],
                low,
                high,
                {resource: _of_pod(manifest, resource, limit_range) for resource in RESOURCES},
                Where.of(template, _devices(manifest)),
                _surge(manifest, high),
                manifest,
            )
            found.setdefault(name, NamespaceCapacity(name)).workloads.append(workload)
    for namespace in found.values():
        namespace.workloads.sort(key=lambda workload: (workload.name, workload.kind))
        namespace.quota = {key: namespace.quota[key] for key in ("pods", *RESOURCES) if key in namespace.quota}
    return [found[name] for name in sorted(found)]


def _whole(value: Any, *path: str, default: int) -> int:
    """Return the whole number at `path`, never below zero."""
    found = amount(value, *path)
    return default if found is None else max(0, int(found))


def _owners(manifest: Manifest) -> set[tuple[str, str, str]]:
    """Return what controls the object: at most one.

    https://kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents/
    """
    owners = objects(manifest, "metadata", "ownerReferences")
    namespace = namespace_of(manifest) if owners else ""
    return {(text(o, "kind"), namespace, text(o, "name")) for o in owners if get(o, "controller") is True}


def _span(autoscaler: Manifest) -> tuple[int, int]:
    spec = mapping(autoscaler, "spec")
    if kind_of(autoscaler) == "ScaledObject":
        # https://keda.sh/docs/2.21/reference/scaledobject-spec/#maxreplicacount
        low = _whole(spec, "minReplicaCount", default=0)
        return min(low, _whole(spec, "idleReplicaCount", default=low)), _whole(spec, "maxReplicaCount", default=100)
    low = _whole(spec, "minReplicas", default=1)
    return low, _whole(spec, "maxReplicas", default=low)


def _replicas(manifest: Manifest, spans: Mapping[tuple[str, str, str], tuple[int, int]]) -> tuple[int, int]:
    kind = kind_of(manifest)
    spec = mapping(manifest, "spec")
    match kind:
        case "PodTemplate":
            # An annotation holds text only.
            replicas = _whole(manifest, "metadata", "annotations", DEVICES, default=0)
        case "Deployment" | "StatefulSet" | "ReplicaSet" | "ReplicationController":
            span = spans.get((kind, namespace_of(manifest), identity(manifest)[2]))
            if span is not None:
                return span
            replicas = _whole(spec, "replicas", default=1)
        case "Job":
            replicas = _parallel(spec)
        case "CronJob":
            return 0, _parallel(mapping(spec, "jobTemplate", "spec"))
        case _:
            replicas = 1
    return replicas, replicas


def _parallel(job: Mapping[str, Any]) -> int:
    # https://kubernetes.io/docs/concepts/workloads/controllers/job/#controlling-parallelism
    parallelism = _whole(job, "parallelism", default=1)
    return min(parallelism, _whole(job, "completions", default=parallelism))


def _surge(manifest: Manifest, replicas: int) -> int:
    """Return how many pods more an update may run.

    https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#max-surge
    """
    kind = kind_of(manifest)
    strategy = mapping(manifest, "spec", "strategy" if kind == "Deployment" else "updateStrategy")
    if kind not in ("Deployment", "DaemonSet") or get(strategy, "type") not in (None, "RollingUpdate"):
        return 0
    surge = get(strategy, "rollingUpdate", "maxSurge")
    if surge is None:
        surge = "25%" if kind == "Deployment" else 0
    return max(0, share_of(surge, replicas, up=True) or 0)


def _devices(manifest: Manifest) -> dict[str, int]:
    """Return the extended resources that each pod takes; their requests and limits are equal."""
    # https://kubernetes.io/docs/tasks/manage-gpus/scheduling-gpus/#using-device-plugins
    names = {name for c in containers(manifest) for name in mapping(c, "resources", "limits") if "/" in name}
    return {name: int(_of_pod(manifest, f"limits.{name}", {})) for name in names}


def _of_pod(manifest: Manifest, resource: str, limit_range: Mapping[str, Any]) -> Decimal:
    """Return what the scheduler counts: all containers together, or an init container that asks for more.

    https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers
    """
    spec = pod_spec(manifest)
    sidecars = highest = Decimal(0)
    for container in objects(spec, "initContainers"):
        own = _of_container(container, resource, limit_range)
        highest = max(highest, sidecars + own)
        if get(container, "restartPolicy") == "Always":
            sidecars += own
    running = sum((_of_container(c, resource, limit_range) for c in objects(spec, "containers")), sidecars)
    return max(running, highest)


def _container_limits(limit_range: Manifest) -> Mapping[str, Any]:
    items = [item for item in objects(limit_range, "spec", "limits") if get(item, "type") == "Container"]
    return items[0] if items else {}


def _of_container(container: Manifest, resource: str, default: Mapping[str, Any]) -> Decimal:
    section, _, name = resource.partition(".")
    own = mapping(container, "resources")
    # A request that is not set is the container's own limit before it is the namespace's default.
    chain = [amount(own, "limits", name), amount(default, "default", name)]
    if section == "requests":
        chain = [
            amount(own, "requests", name),
            amount(own, "limits", name),
            amount(default, "defaultRequest", name),
            amount(default, "default", name),
        ]
    return next((found for found in chain if found is not None), Decimal(0))
