"""A small stack that meets every rule, and a way to change one thing in it."""

import copy
import json
import re
from typing import Any

DELETE: Any = object()

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
POD_SECURITY = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
PROBE = {"tcpSocket": {"port": 8080}}


def container(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "image": f"registry.example.com:5000/team/{name}:1.2.3",
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"cpu": "1", "memory": "256Mi"},
        },
        "securityContext": RESTRICTED,
        **fields,
    }


def running(name: str, **fields: Any) -> dict[str, Any]:
    return container(name, readinessProbe=PROBE, livenessProbe=PROBE, **fields)


def template(app: str, *containers: dict[str, Any], **fields: Any) -> dict[str, Any]:
    spec = {"securityContext": POD_SECURITY, "containers": list(containers), **fields}
    return {"metadata": {"labels": {"app": app, "version": "1"}}, "spec": spec}


def manifest(api: str, kind: str, namespace: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "metadata": {"namespace": namespace, "name": name}, **fields}


def namespace_objects(name: str, level: str) -> list[dict[str, Any]]:
    labels = {"pod-security.kubernetes.io/enforce": level}
    dns = [{"ports": [{"protocol": "UDP", "port": 53}]}]
    deny = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "egress": dns}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
        manifest("v1", "ResourceQuota", name, "quota", spec={"hard": {"limits.memory": "8Gi"}}),
        manifest("v1", "LimitRange", name, "limits", spec={"limits": [{"type": "Container"}]}),
        manifest("networking.k8s.io/v1", "NetworkPolicy", name, "default-deny", spec=deny),
    ]


def service(namespace: str, app: str) -> dict[str, Any]:
    return manifest("v1", "Service", namespace, app, spec={"selector": {"app": app}})


def budget(namespace: str, app: str, **spec: Any) -> dict[str, Any]:
    selector = {"matchLabels": {"app": app}}
    return manifest("policy/v1", "PodDisruptionBudget", namespace, app, spec={"selector": selector, **spec})


def baseline() -> list[dict[str, Any]]:
    """A fresh copy; objects are addressed as `Kind/name`."""
    ref = {"secretKeyRef": {"name": "redis", "key": "password"}}
    env = [
        {"name": "LOG_LEVEL", "value": "info"},
        {"name": "REDIS_PASSWORD", "valueFrom": ref},
        {"name": "REDIS_URL", "value": "redis://:$(REDIS_PASSWORD)@redis:6379"},
        {"name": "API_TOKEN_FILE", "value": "/run/secrets/token"},
    ]
    api = template(
        "api",
        running("api", env=env),
        running("logs"),
        initContainers=[container("migrate"), running("proxy", restartPolicy="Always")],
    )
    metric = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"}
    hpa = {
        "scaleTargetRef": target,
        "minReplicas": 2,
        "maxReplicas": 5,
        "metrics": [{"type": "Resource", "resource": metric}],
    }
    job = template("report", container("report"), restartPolicy="Never")
    # Not a deep copy, which would keep what the objects share.
    return json.loads(
        json.dumps(
            [
                *namespace_objects("agents", "restricted"),
                *namespace_objects("collectors", "privileged"),
                manifest("apps/v1", "Deployment", "agents", "api", spec={"template": api}),
                manifest("autoscaling/v2", "HorizontalPodAutoscaler", "agents", "api", spec=hpa),
                service("agents", "api"),
                budget("agents", "api", minAvailable="50%"),
                manifest(
                    "apps/v1",
                    "StatefulSet",
                    "agents",
                    "db",
                    spec={"replicas": 3, "template": template("db", running("db"))},
                ),
                service("agents", "db"),
                budget("agents", "db", maxUnavailable=1),
                manifest(
                    "apps/v1",
                    "DaemonSet",
                    "collectors",
                    "node",
                    spec={"template": template("node", running("node"))},
                ),
                manifest("batch/v1", "Job", "agents", "once", spec={"template": job}),
                manifest("batch/v1", "CronJob", "agents", "nightly", spec={"jobTemplate": {"spec": {"template": job}}}),
                {**manifest("v1", "Pod", "agents", "lone"), **template("lone", running("lone"))}
                | {"metadata": {"namespace": "agents", "name": "lone", "labels": {"app": "lone"}}},
            ]
        )
    )


def steps(path: str) -> list[str | int]:
    """`a.b[0]` -> ["a", "b", 0]; a key with dots is quoted: `a."b.c"`."""
    return [
        int(index) if index else quoted or plain
        for quoted, index, plain in re.findall(r'"([^"]+)"|\[(\d+)\]|([^.\[\]"]+)', path)
    ]


def change(manifests: list[dict[str, Any]], target: str, path: str, value: Any) -> None:
    """Set or DELETE what is at `path` in every object `Kind/name`; an empty path means the objects."""
    kind, name = target.split("/")
    found = [m for m in manifests if m["kind"] == kind and m["metadata"]["name"] == name]
    assert found, f"the baseline has no {target}"
    for node in found:
        *parents, last = steps(path) or [None]
        if last is None:
            manifests.remove(node)
            continue
        for step in parents:
            node = node.setdefault(step, {}) if isinstance(node, dict) else node[step]
        if value is DELETE:
            del node[last]
        else:
            node[last] = copy.deepcopy(value)


def changed(*changes: tuple[str, str, Any]) -> list[dict[str, Any]]:
    manifests = baseline()
    for target, path, value in changes:
        change(manifests, target, path, value)
    return manifests
