"""Kinds of objects, and the pods and containers in workloads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .fields import Placed, get, mapping, objects, path_to, placed, text, whole
from .manifest import Manifest

_TEMPLATE: Final = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "Pod": (),
    "PodTemplate": ("template",),
}

# Other groups use the same kinds: Knative has a Service of its own.
_GROUP: Final = {
    "Deployment": "apps",
    "StatefulSet": "apps",
    "DaemonSet": "apps",
    "ReplicaSet": "apps",
    "ReplicationController": "",
    "Job": "batch",
    "CronJob": "batch",
    "Pod": "",
    "PodTemplate": "",
    "Namespace": "",
    "ResourceQuota": "",
    "LimitRange": "",
    "Service": "",
    "NetworkPolicy": "networking.k8s.io",
    "PodDisruptionBudget": "policy",
    "HorizontalPodAutoscaler": "autoscaling",
    "ScaledObject": "keda.sh",
    "ConfigMap": "",
    "Secret": "",
    "ServiceAccount": "",
    "PersistentVolumeClaim": "",
    "Role": "rbac.authorization.k8s.io",
    "ClusterRole": "rbac.authorization.k8s.io",
    "RoleBinding": "rbac.authorization.k8s.io",
    "ClusterRoleBinding": "rbac.authorization.k8s.io",
    "Ingress": "networking.k8s.io",
    "HTTPRoute": "gateway.networking.k8s.io",
    "CustomResourceDefinition": "apiextensions.k8s.io",
    "ServiceMonitor": "monitoring.coreos.com",
    "PodMonitor": "monitoring.coreos.com",
    "PrometheusRule": "monitoring.coreos.com",
    "ExternalSecret": "external-secrets.io",
    "SealedSecret": "bitnami.com",
    "Certificate": "cert-manager.io",
}

SCALED_KINDS: Final = frozenset({"Deployment", "StatefulSet", "ReplicaSet", "ReplicationController"})
WORKLOAD_KINDS: Final = tuple(_TEMPLATE)


def kind_of(manifest: Manifest) -> str:
    """Return the kind if the rules know it in this API group, else an empty string."""
    kind = text(manifest, "kind")
    group = _GROUP.get(kind)
    return kind if group is not None and text(manifest, "apiVersion").rpartition("/")[0] == group else ""


def namespace_of(manifest: Manifest) -> str:
    """Return the namespace of a namespaced object."""
    return text(manifest, "metadata", "namespace") or "default"


def scale_target(autoscaler: Manifest) -> tuple[str, str, str]:
    """Return the kind, namespace and name of what a HorizontalPodAutoscaler or ScaledObject scales."""
    target = mapping(autoscaler, "spec", "scaleTargetRef")
    # A ScaledObject may leave out the kind.
    return text(target, "kind") or "Deployment", namespace_of(autoscaler), text(target, "name")


def pod_template(manifest: Manifest) -> Manifest | None:
    """Return the pod template of a workload (a Pod is its own), or None for other kinds."""
    path = _TEMPLATE.get(kind_of(manifest))
    return None if path is None else mapping(manifest, *path)


def template_path(manifest: Manifest) -> str:
    """Return the path of the pod template of a workload; empty for a Pod, and for other kinds."""
    return path_to("", *_TEMPLATE.get(kind_of(manifest), ()))


def pod_spec(manifest: Manifest) -> Placed:
    """Return the pod spec of a workload, or an empty mapping."""
    return Placed(mapping(pod_template(manifest), "spec"), None, *_TEMPLATE.get(kind_of(manifest), ()), "spec")


def containers(manifest: Manifest) -> Iterator[Placed]:
    """All containers of a workload, init containers included."""
    pod = pod_spec(manifest)
    yield from placed(pod, "initContainers")
    yield from placed(pod, "containers")


def running_containers(manifest: Manifest) -> Iterator[Placed]:
    """The containers that run as long as the pod: the regular ones and sidecars."""
    pod = pod_spec(manifest)
    yield from (c for c in placed(pod, "initContainers") if get(c, "restartPolicy") == "Always")
    yield from placed(pod, "containers")


def is_long_running(manifest: Manifest) -> bool:
    """Whether the pods of this workload are meant to run until they are stopped."""
    kind = kind_of(manifest)
    if kind in ("Job", "CronJob"):
        return False
    return kind != "Pod" or get(manifest, "spec", "restartPolicy") in (None, "Always")


def container_ports(manifest: Manifest) -> Iterator[tuple[str, int]]:
    """The name (empty where there is none) and number of each port that the pod's running containers declare."""
    for container in running_containers(manifest):
        for port in objects(container, "ports"):
            number = whole(port, "containerPort")
            if number is not None:
                yield text(port, "name"), number


def where(container: Manifest) -> str:
    """Name a container in a message."""
    name = container.get("name")
    return f'container "{name}"' if isinstance(name, str) else "a container without a name"


def effective_request(container: Manifest, resource: str) -> object:
    """Return the request for `resource`; Kubernetes takes the limit where only that is given."""
    request = get(container, "resources", "requests", resource)
    return get(container, "resources", "limits", resource) if request is None else request
