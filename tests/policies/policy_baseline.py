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
PROBE = {"tcpSocket": {"port": "http"}}
PATIENT = {**PROBE, "failureThreshold": 6}
LABELS = {"app.kubernetes.io/name": "x", "app.kubernetes.io/part-of": "tests"}


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
    port = {"name": "http", "containerPort": 8080}
    return container(name, **{"readinessProbe": PROBE, "livenessProbe": PATIENT, "ports": [port], **fields})


def template(app: str, *containers: dict[str, Any], **fields: Any) -> dict[str, Any]:
    spread = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": app}}}
    spec = {
        "securityContext": POD_SECURITY,
        "automountServiceAccountToken": False,
        "topologySpreadConstraints": [spread],
        "containers": list(containers),
        **fields,
    }
    return {"metadata": {"labels": {"app": app, "version": "1"}}, "spec": spec}


def manifest(api: str, kind: str, namespace: str, name: str, **fields: Any) -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": name, "labels": LABELS}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **fields}


def workload(kind: str, namespace: str, name: str, pods: dict[str, Any], **spec: Any) -> dict[str, Any]:
    selector = {"matchLabels": {"app": pods["metadata"]["labels"]["app"]}}
    return manifest("apps/v1", kind, namespace, name, spec={"selector": selector, "template": pods, **spec})


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


def service(namespace: str, app: str, *ports: int, **spec: Any) -> dict[str, Any]:
    listed = [{"name": f"p{port}", "port": port} for port in ports] or [
        {"name": "http", "port": 80, "targetPort": "http"}
    ]
    return manifest("v1", "Service", namespace, app, spec={"selector": {"app": app}, "ports": listed, **spec})


def peer(namespace: str, app: str) -> dict[str, Any]:
    return {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "podSelector": {"matchLabels": {"app": app}},
    }


def flow(namespace: str, app: str, port: int, *peers: tuple[str, str], direction: str) -> dict[str, Any]:
    """A NetworkPolicy that opens one port, at the pods of `app` or at those of `peers`."""
    side, types = ("from", "Ingress") if direction == "ingress" else ("to", "Egress")
    rule = {side: [peer(*each) for each in peers], "ports": [{"port": port}]}
    spec = {"podSelector": {"matchLabels": {"app": app}}, "policyTypes": [types], direction: [rule]}
    return manifest("networking.k8s.io/v1", "NetworkPolicy", namespace, f"{app}-{direction}-{port}", spec=spec)


def flows(*edges: tuple[tuple[str, str], tuple[str, str], int]) -> list[dict[str, Any]]:
    """The policies of both sides; what clients of one server share is one policy."""
    found = []
    for server, port in dict.fromkeys((server, port) for _, server, port in edges):
        clients = [client for client, to, on in edges if (to, on) == (server, port)]
        found.append(flow(*server, port, *clients, direction="ingress"))
    for client, port in dict.fromkeys((client, port) for client, _, port in edges):
        servers = [server for frm, server, on in edges if (frm, on) == (client, port)]
        found.append(flow(*client, port, *servers, direction="egress"))
    return found


def claim(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"]}}


def config_map(namespace: str, name: str, **data: str) -> dict[str, Any]:
    return manifest("v1", "ConfigMap", namespace, name, data=data)


REDIS_CONF = """
# redis.agents is not told to anybody here
cluster-enabled yes
maxmemory-policy volatile-ttl
appendonly yes
"""
KAFKA_CONF = """
auto.create.topics.enable=false
log.dirs=$DATA_DIR/logs
"""
PROMETHEUS_CONF = """
scrape_configs:
  - job_name: pods
    kubernetes_sd_configs: [{role: pod, namespaces: {own_namespace: true}}]
  - job_name: cadvisor
    metrics_path: /metrics/cadvisor
    kubernetes_sd_configs: [{role: node}]
"""
RULES_CONF = """
groups:
  - name: redis
    rules:
      - record: redis:memory:ratio
        expr: redis_memory_used_bytes / redis_memory_max_bytes
      - alert: Full
        expr: max by (pod) (redis:memory:ratio{job="pods"}) > 0.9 and on () up == 1
"""
DASHBOARD = {
    "templating": {"list": [{"name": "pod", "type": "query", "query": "label_values(redis_up, pod)"}]},
    "panels": [
        {
            "title": "Memory",
            "targets": [{"expr": 'rate(redis_commands_processed_total{pod="$pod"}[$__rate_interval])'}],
        },
        {"title": "Row", "panels": [{"title": "CPU", "targets": [{"expr": "container_cpu_usage_seconds_total"}]}]},
        {"title": "Logs", "datasource": {"type": "loki"}, "targets": [{"expr": '{app="x"} |= `nothing`'}]},
    ],
}


def mounted(*names: str, **config_maps: str) -> dict[str, Any]:
    """Volumes of ConfigMaps, by the names of both."""
    volumes = [{"name": name, "configMap": {"name": config_map}} for name, config_map in config_maps.items()]
    return {"volumes": [*volumes, *({"name": name, "emptyDir": {"sizeLimit": "1Gi"}} for name in names)]}


def redis() -> list[dict[str, Any]]:
    """A Redis Cluster in `data`, with its exporter."""
    args = ["redis-server", "/conf/redis.conf", "--maxmemory", "200mb", "--cluster-announce-hostname"]
    node = running(
        "redis",
        image="docker.io/library/redis:8.2.1",
        args=[*args, "$(POD_NAME).redis.data.svc.cluster.local"],
        ports=[{"name": "http", "containerPort": 6379}, {"name": "bus", "containerPort": 16379}],
        volumeMounts=[{"name": "data", "mountPath": "/data"}, {"name": "conf", "mountPath": "/conf"}],
    )
    exporter = running(
        "exporter", image="oliver006/redis_exporter:v1.89.0", ports=[{"name": "http", "containerPort": 9121}]
    )
    pods = template("redis", node, exporter, **mounted(conf="redis"))
    pods["metadata"]["annotations"] = {"prometheus.io/scrape": "true", "prometheus.io/port": "9121"}
    spec = {"replicas": 6, "serviceName": "redis", "volumeClaimTemplates": [claim("data")]}
    return [
        config_map("data", "redis", **{"redis.conf": REDIS_CONF}),
        workload("StatefulSet", "data", "redis", pods, **spec),
        service("data", "redis", 6379, 16379, clusterIP="None"),
        budget("data", "redis", maxUnavailable=1),
    ]


def kafka(app: str, replicas: int, port: int, **variables: str) -> list[dict[str, Any]]:
    """Nodes of one role in `data`."""
    voters = ",".join(f"{n}@controller-{n}.controller.data.svc.cluster.local:9093" for n in range(3))
    values = {
        "PROCESS_ROLES": app,
        "CONTROLLER_QUORUM_VOTERS": voters,
        "DATA_DIR": "/data",
        "DEFAULT_REPLICATION_FACTOR": "3",
        "MIN_INSYNC_REPLICAS": "2",
        **variables,
    }
    node = running(
        "kafka",
        image="apache/kafka:4.3.1",
        env=[{"name": name, "value": value} for name, value in values.items()],
        ports=[{"name": "http", "containerPort": port}],
        volumeMounts=[{"name": "data", "mountPath": "/data"}, {"name": "conf", "mountPath": "/conf"}],
    )
    pods = template(app, node, **mounted(conf="kafka"))
    spec = {"replicas": replicas, "serviceName": app, "volumeClaimTemplates": [claim("data")]}
    return [
        workload("StatefulSet", "data", app, pods, **spec),
        service("data", app, port, clusterIP="None"),
        budget("data", app, maxUnavailable=1),
    ]


def prometheus() -> list[dict[str, Any]]:
    """What scrapes, with its rules, and a dashboard that something reads."""
    server = running(
        "prometheus",
        image="prom/prometheus:v3.13.3",
        volumeMounts=[{"name": "conf", "mountPath": "/conf"}, {"name": "boards", "mountPath": "/boards"}],
    )
    files = {"prometheus.yml": PROMETHEUS_CONF, "rules.yml": RULES_CONF}
    return [
        config_map("data", "prometheus", **files),
        config_map("data", "boards", **{"board.json": json.dumps(DASHBOARD)}),
        workload(
            "Deployment",
            "data",
            "prometheus",
            template("prometheus", server, **mounted(conf="prometheus", boards="boards")),
        ),
    ]


def access() -> list[dict[str, Any]]:
    """A service account with rights, and a route from outside."""
    backend = {"service": {"name": "api", "port": {"name": "http"}}}
    route = {
        "tls": [{"hosts": ["api.example.com"], "secretName": "tls"}],
        "rules": [{"host": "api.example.com", "http": {"paths": [{"path": "/", "backend": backend}]}}],
    }
    rbac = "rbac.authorization.k8s.io"
    return [
        manifest("v1", "ServiceAccount", "agents", "reader"),
        manifest(
            f"{rbac}/v1",
            "Role",
            "agents",
            "reader",
            rules=[
                {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
                {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["redis"]},
            ],
        ),
        manifest(
            f"{rbac}/v1",
            "RoleBinding",
            "agents",
            "reader",
            roleRef={"apiGroup": rbac, "kind": "Role", "name": "reader"},
            subjects=[{"kind": "ServiceAccount", "name": "reader", "namespace": "agents"}],
        ),
        manifest("networking.k8s.io/v1", "Ingress", "agents", "api", spec=route),
        manifest("v1", "Secret", "agents", "redis", data={"password": "eA=="}),
        manifest("cert-manager.io/v1", "Certificate", "agents", "tls", spec={"secretName": "tls"}),
        manifest("v1", "PersistentVolumeClaim", "agents", "work", spec=claim("work")["spec"]),
    ]


def budget(namespace: str, app: str, **spec: Any) -> dict[str, Any]:
    selector = {"matchLabels": {"app": app}}
    return manifest("policy/v1", "PodDisruptionBudget", namespace, app, spec={"selector": selector, **spec})


def baseline() -> list[dict[str, Any]]:
    """A fresh copy; objects are addressed as `Kind/name`."""
    ref = {"secretKeyRef": {"name": "redis", "key": "password"}}
    env = [
        {"name": "LOG_LEVEL", "value": "info"},
        {"name": "REDIS_PASSWORD", "valueFrom": ref},
        {"name": "REDIS_URL", "value": "redis://:$(REDIS_PASSWORD)@redis.data:6379"},
        {"name": "API_TOKEN_FILE", "value": "/run/secrets/token"},
    ]
    api = template(
        "api",
        running("api", env=env, volumeMounts=[{"name": "tmp", "mountPath": "/tmp"}]),
        running("logs"),
        initContainers=[container("migrate"), running("proxy", restartPolicy="Always")],
        **mounted("tmp"),
    )
    metric = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"}
    hpa = {
        "scaleTargetRef": target,
        "minReplicas": 2,
        "maxReplicas": 5,
        "metrics": [{"type": "Resource", "resource": metric}],
    }
    job = {"activeDeadlineSeconds": 600, "template": template("report", container("report"), restartPolicy="Never")}
    nightly = {"concurrencyPolicy": "Forbid", "startingDeadlineSeconds": 600, "jobTemplate": {"spec": job}}
    api_pods, redis_pods, scraper = ("agents", "api"), ("data", "redis"), ("data", "prometheus")
    brokers, controllers = ("data", "broker"), ("data", "controller")
    # Not a deep copy, which would keep what the objects share.
    return json.loads(
        json.dumps(
            [
                *namespace_objects("agents", "restricted"),
                *namespace_objects("collectors", "privileged"),
                *namespace_objects("data", "restricted"),
                workload("Deployment", "agents", "api", api),
                manifest("autoscaling/v2", "HorizontalPodAutoscaler", "agents", "api", spec=hpa),
                service("agents", "api"),
                budget("agents", "api", minAvailable="50%"),
                workload("StatefulSet", "agents", "db", template("db", running("db")), replicas=3),
                service("agents", "db"),
                budget("agents", "db", maxUnavailable=1),
                workload("DaemonSet", "collectors", "node", template("node", running("node"))),
                manifest("batch/v1", "Job", "agents", "once", spec=job),
                manifest("batch/v1", "CronJob", "agents", "nightly", spec=nightly),
                {**manifest("v1", "Pod", "agents", "lone"), **template("lone", running("lone"))}
                | {"metadata": {"namespace": "agents", "name": "lone", "labels": {**LABELS, "app": "lone"}}},
                *access(),
                *redis(),
                config_map("data", "kafka", **{"server.properties": KAFKA_CONF}),
                *kafka("controller", 3, 9093),
                *kafka("broker", 3, 9092),
                *prometheus(),
                *flows(
                    (api_pods, redis_pods, 6379),
                    (redis_pods, redis_pods, 6379),
                    (redis_pods, redis_pods, 16379),
                    (scraper, redis_pods, 9121),
                    (brokers, controllers, 9093),
                    (controllers, controllers, 9093),
                ),
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
    """Set or DELETE what is at `path` in every object `Kind/name`; an empty path means the objects, `+` a new one."""
    if target == "+":
        manifests.append(json.loads(json.dumps(value)))
        return
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
