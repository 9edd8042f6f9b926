"""What sets off each of the rules beside the first ones, and what must not: see `test_policy_rules.py`."""

import json
from typing import Any

from policy_baseline import (
    DELETE,
    KAFKA_CONF,
    LABELS,
    PROMETHEUS_CONF,
    REDIS_CONF,
    RULES_CONF,
    budget,
    flow,
    manifest,
    running,
    service,
    template,
    workload,
)

Change = tuple[str, str, Any]

POD = "spec.template.spec"
C0 = f"{POD}.containers[0]"
CRON = "spec.jobTemplate.spec"
KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC"
ENFORCE = 'metadata.labels."pod-security.kubernetes.io/enforce"'


def api(path: str, value: Any) -> Change:
    return ("Deployment/api", f"{POD}.{path}", value)


def main(path: str, value: Any) -> Change:
    return ("Deployment/api", f"{C0}.{path}", value)


def new(value: dict[str, Any]) -> Change:
    return ("+", "", value)


def at(name: str, path: str, value: Any) -> Change:
    """In a StatefulSet."""
    return (f"StatefulSet/{name}", path, value)


def role(**rule: Any) -> Change:
    return ("Role/reader", "rules[0]", rule)


def binding(path: str, value: Any) -> Change:
    return ("RoleBinding/reader", path, value)


def hpa(path: str, value: Any) -> Change:
    return ("HorizontalPodAutoscaler/api", f"spec.{path}", value)


def ingress(path: str, value: Any) -> Change:
    return ("Ingress/api", f"spec.{path}", value)


def board(**panel: Any) -> Change:
    return ("ConfigMap/boards", 'data."board.json"', json.dumps({"panels": [panel]}))


def rules(content: str) -> Change:
    return ("ConfigMap/prometheus", 'data."rules.yml"', content)


def alert(expression: str) -> Change:
    return rules(RULES_CONF.replace("redis:memory:ratio{job", f"{expression} or redis:memory:ratio{{job"))


def env(name: str, value: str) -> Change:
    return main("env[0]", {"name": name, "value": value})


def variable(name: str, value: str, index: int) -> Change:
    """One of the variables of the Kafka brokers, in the order of `kafka()`."""
    return at("broker", f"{C0}.env[{index}]", {"name": name, "value": value})


def route(port: Any) -> Change:
    refs = [{"name": "api", "port": port}]
    spec = {"rules": [{"backendRefs": refs}]}
    return new(manifest("gateway.networking.k8s.io/v1", "HTTPRoute", "agents", "web", spec=spec))


def monitor(kind: str, field: str, port: str) -> Change:
    selector = {"matchLabels": LABELS if kind == "ServiceMonitor" else {"app": "api"}}
    spec = {"selector": selector, field: [{"port": port}]}
    return new(manifest("monitoring.coreos.com/v1", kind, "agents", "m", spec=spec))


def deployment(**spec: Any) -> dict[str, Any]:
    """Two pods in `agents` without anything for them."""
    pods = template("two", running("two"), topologySpreadConstraints=[])
    return workload("Deployment", "agents", "two", pods, **{"replicas": 2, **spec})


CLAIM = [api("volumes[0]", {"name": "tmp", "persistentVolumeClaim": {"claimName": "work"}})]
ONE = [hpa("minReplicas", 1), ("HorizontalPodAutoscaler/api", "", DELETE), ("Deployment/api", "spec.replicas", 1)]
HOST_PATH = ("DaemonSet/node", f"{POD}.volumes", [{"name": "root", "hostPath": {"path": "/"}}])
SOCKET = ("DaemonSet/node", f"{POD}.volumes", [{"name": "root", "hostPath": {"path": "/run/containerd.sock"}}])
EXTERNAL = manifest("external-secrets.io/v1", "ExternalSecret", "agents", "redis", spec={"target": {}})
OTHER_API = manifest("example.com/v1", "Thing", "agents", "thing")
DEFINITION = manifest(
    "apiextensions.k8s.io/v1",
    "CustomResourceDefinition",
    "",
    "things.example.com",
    spec={"group": "example.com", "names": {"kind": "Thing"}},
)
STRAY = flow("data", "redis", 9121, ("agents", "db"), direction="ingress")
TO_REDIS = flow("agents", "db", 9121, ("data", "redis"), direction="egress")

FIRES: list[tuple[str, str, list[Change], str]] = [
    # pods
    ("no-host-namespaces", "api", [api("hostNetwork", True)], "remove hostNetwork"),
    ("no-host-namespaces", "nightly", [("CronJob/nightly", f"{CRON}.template.spec.hostPID", True)], "every process"),
    ("no-host-ports", "node", [("DaemonSet/node", f"{C0}.ports[0].hostPort", 80)], "port 80 of its node"),
    (
        "host-path-read-only",
        "node",
        [HOST_PATH, ("DaemonSet/node", f"{C0}.volumeMounts", [{"name": "root", "mountPath": "/host"}])],
        "may change / of its node",
    ),
    (
        "host-path-read-only",
        "node",
        [
            SOCKET,
            ("DaemonSet/node", f"{C0}.volumeMounts", [{"name": "root", "mountPath": "/s", "readOnly": True}]),
        ],
        "may command its node",
    ),
    ("volume-types", "api", [api("volumes[0]", {"name": "tmp", "nfs": {"server": "x"}})], "type nfs"),
    (
        "volume-types",
        "node",
        [HOST_PATH, ("Namespace/collectors", ENFORCE, "baseline")],
        "enforces baseline",
    ),
    ("default-proc-mount", "api", [main("securityContext.procMount", "Unmasked")], "all of /proc"),
    ("safe-sysctls", "api", [api("securityContext.sysctls", [{"name": "kernel.msgmax"}])], "kernel.msgmax"),
    (
        "mandatory-access-control",
        "api",
        [main("securityContext.appArmorProfile", {"type": "Unconfined"})],
        'container "api" runs without AppArmor',
    ),
    (
        "mandatory-access-control",
        "api",
        [api("securityContext.seLinuxOptions", {"type": "spc_t"})],
        "the pod chooses",
    ),
    (
        "mandatory-access-control",
        "api",
        [
            (
                "Deployment/api",
                "spec.template.metadata.annotations",
                {"container.apparmor.security.beta.kubernetes.io/api": "unconfined"},
            )
        ],
        "remove the annotation",
    ),
    ("no-host-process", "api", [api("securityContext.windowsOptions", {"hostProcess": True})], "owns its node"),
    ("no-host-in-probes", "api", [main("livenessProbe.tcpSocket.host", "10.0.0.1")], "livenessProbe.tcpSocket.host"),
    ("no-unused-token", "api", [api("automountServiceAccountToken", DELETE)], '"default"'),
    # rbac
    ("no-rbac-wildcards", "reader", [role(apiGroups=[""], resources=["*"], verbs=["get"])], "all resources"),
    ("no-rbac-escalation", "reader", [role(resources=["roles"], verbs=["bind"])], "to bind"),
    ("no-rbac-escalation", "reader", [role(resources=["pods/exec"], verbs=["create"])], "through pods/exec"),
    ("rbac-secrets", "reader", [("Role/reader", "rules[1].resourceNames", DELETE)], "all Secrets of its namespace"),
    (
        "no-cluster-admin",
        "reader",
        [binding("roleRef", {"kind": "ClusterRole", "name": "cluster-admin"})],
        "every right",
    ),
    (
        "no-cluster-admin",
        "reader",
        [binding("subjects[0]", {"kind": "Group", "name": "system:masters"})],
        "passes over RBAC",
    ),
    ("rbac-named-subjects", "reader", [binding("subjects[0].name", "default")], "names no service account"),
    (
        "rbac-named-subjects",
        "reader",
        [binding("subjects[0]", {"kind": "Group", "name": "system:authenticated"})],
        "system:authenticated",
    ),
    ("binding-references", "reader", [binding("roleRef.name", "gone")], 'the Role "gone"'),
    ("binding-references", "reader", [binding("subjects[0].name", "gone")], 'the ServiceAccount "gone"'),
    # quotas
    ("requests-within-limits", "api", [main("resources.requests.cpu", 2)], "requests more cpu"),
    ("requests-within-limits", "api", [main("resources.limits.memory", "2 GB")], "limits.memory is no quantity"),
    ("memory-overcommit", "api", [main("resources.requests.memory", "10Mi")], "25.6 times"),
    ("empty-dir-size", "api", [api("volumes[0].emptyDir", {})], 'volume "tmp"'),
    ("quota-fits", "quota", [("ResourceQuota/quota", "spec.hard", {"limits.memory": "4Gi"})], "do not start"),
    (
        "quota-fits",
        "quota",
        [hpa("maxReplicas", 6), ("ResourceQuota/quota", "spec.hard", {"pods": 13})],
        "while api is",
    ),
    (
        "limit-range-fits",
        "db",
        [("LimitRange/limits", "spec.limits[0].max", {"memory": "200Mi"})],
        "memory limit above 200Mi",
    ),
    ("limit-range-fits", "db", [("LimitRange/limits", "spec.limits[0].min", {"cpu": "1"})], "less cpu than 1"),
    # lifecycle
    ("distinct-probes", "api", [main("livenessProbe.failureThreshold", 3)], "as soon as it is not ready"),
    ("stop-within-grace", "api", [main("lifecycle.preStop.sleep.seconds", 30)], "sleeps 30 s of the 30 s"),
    (
        "stop-within-grace",
        "api",
        [main("lifecycle.preStop.exec.command", ["sh", "-c", "sync; sleep 90"])],
        "sleeps 90 s",
    ),
    ("stop-within-grace", "api", [api("terminationGracePeriodSeconds", 0)], "with no time to stop"),
    ("replicas-spread", "api", [api("topologySpreadConstraints", DELETE)], "one node may hold"),
    (
        "replicas-spread",
        "db",
        [at("db", f"{POD}.topologySpreadConstraints[0].labelSelector.matchLabels.app", "api")],
        "its constraints select other pods",
    ),
    ("pdb-exists", "two", [new(deployment())], "evict all replicas"),
    ("pdb-exists", "db", [("PodDisruptionBudget/db", "", DELETE)], "maxUnavailable: 1"),
    ("rolling-update", "two", [new(deployment(strategy={"type": "Recreate"}))], "stops all replicas first"),
    (
        "rolling-update",
        "api",
        [("Deployment/api", "spec.strategy", {"rollingUpdate": {"maxUnavailable": "100%"}})],
        "at once",
    ),
    ("selector-matches-template", "db", [at("db", "spec.selector", DELETE)], "has no selector"),
    ("selector-matches-template", "db", [at("db", "spec.selector.matchLabels.app", "x")], "does not select"),
    (
        "disjoint-selectors",
        "db",
        [at("db", "spec.selector", {"matchLabels": {"version": "1"}})],
        'the pods of Deployment "api"',
    ),
    ("claim-single-writer", "api", CLAIM, "replicas on other nodes"),
    ("claim-single-writer", "api", [*CLAIM, *ONE], "strategy.type: Recreate"),
    ("stateful-set-service", "db", [at("db", "spec.serviceName", "gone")], '"gone", which does not exist'),
    ("stateful-set-service", "db", [at("db", "spec.serviceName", "db")], "is not headless"),
    ("cron-job-concurrency", "nightly", [("CronJob/nightly", "spec.concurrencyPolicy", "Allow")], "pile up"),
    ("cron-job-deadline", "nightly", [("CronJob/nightly", "spec.startingDeadlineSeconds", DELETE)], "however late"),
    ("job-deadline", "once", [("Job/once", "spec.activeDeadlineSeconds", DELETE)], "set spec.activeDeadline"),
    ("job-deadline", "nightly", [("CronJob/nightly", f"{CRON}.activeDeadlineSeconds", DELETE)], f"{CRON}.active"),
    ("autoscaler-range", "api", [hpa("maxReplicas", 1)], "is below minReplicas 2"),
    # references
    ("config-map-exists", "redis", [("ConfigMap/redis", "", DELETE)], 'the ConfigMap "redis", which does not exist'),
    (
        "config-map-exists",
        "api",
        [main("envFrom", [{"configMapRef": {"name": "gone"}}])],
        'container "api": envFrom reads the ConfigMap "gone"',
    ),
    (
        "config-map-exists",
        "redis",
        [at("redis", f"{POD}.volumes[0].configMap.items", [{"key": "gone", "path": "x"}])],
        'the key "gone"',
    ),
    ("secret-exists", "api", [("Secret/redis", "", DELETE)], 'the Secret "redis"'),
    ("secret-key-exists", "api", [("Secret/redis", "data", {"other": "eA=="})], "the variable REDIS_PASSWORD"),
    (
        "secret-key-exists",
        "api",
        [
            ("Secret/redis", "data", DELETE),
            ("Secret/redis", "metadata.annotations", {"agentstack.dev/secret-keys": "a,b"}),
        ],
        'the key "password"',
    ),
    ("service-account-exists", "api", [api("serviceAccountName", "gone")], 'ServiceAccount "gone"'),
    ("claim-exists", "api", [*CLAIM, ("PersistentVolumeClaim/work", "", DELETE)], '"work"'),
    ("volume-exists", "api", [main("volumeMounts[0].name", "gone")], 'the volume "gone"'),
    (
        "volume-exists",
        "redis",
        [at("redis", f"{C0}.volumeMounts[1].mountPath", "/data")],
        "mounts two volumes at /data",
    ),
    ("backend-exists", "api", [("Service/api", "", DELETE)], 'the Service "api"'),
    ("backend-exists", "api", [ingress("rules[0].http.paths[0].backend.service.port", {"number": 81})], "the port 81"),
    ("backend-exists", "web", [route(81)], "the port 81"),
    ("unique-objects", "api", [new(service("agents", "api"))], "is declared twice"),
    # network
    ("service-target-port", "api", [("Service/api", "spec.ports[0].targetPort", "web")], 'port "web"'),
    ("service-target-port", "api", [("Service/api", "spec.ports[0].targetPort", 81)], "declares 8080"),
    ("probe-port", "api", [main("readinessProbe.tcpSocket.port", "web")], 'the port "web"'),
    (
        "scrape-port",
        "redis",
        [at("redis", 'spec.template.metadata.annotations."prometheus.io/port"', "9999")],
        "the port 9999",
    ),
    (
        "scrape-port",
        "redis",
        [at("redis", 'spec.template.metadata.annotations."prometheus.io/port"', DELETE)],
        "(none)",
    ),
    ("scrape-port", "m", [monitor("ServiceMonitor", "endpoints", "gone")], "no Service it selects"),
    ("scrape-port", "m", [monitor("PodMonitor", "podMetricsEndpoints", "gone")], "no pod it selects"),
    ("no-external-ips", "api", [("Service/api", "spec.externalIPs", ["1.2.3.4"])], "other addresses"),
    ("service-cluster-only", "api", [("Service/api", "spec.type", "LoadBalancer")], "load balancer"),
    ("ingress-tls", "api", [ingress("tls", DELETE)], "api.example.com"),
    (
        "network-policy-selects-pods",
        "redis-ingress-6379",
        [("NetworkPolicy/redis-ingress-6379", "spec.podSelector.matchLabels.app", "gone")],
        "selects no pod",
    ),
    (
        "no-open-network-policy",
        "api-egress-6379",
        [("NetworkPolicy/api-egress-6379", "spec.egress[0]", {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]})],
        "egress[0] allows every address",
    ),
    ("flows-allowed", "api", [("NetworkPolicy/redis-ingress-6379", "", DELETE)], "ingress at port 6379"),
    ("flows-allowed", "api", [("NetworkPolicy/api-egress-6379", "", DELETE)], "the variable REDIS_URL"),
    ("flows-allowed", "api", [("NetworkPolicy/api-egress-6379", "spec.egress[0].ports[0].port", 1)], "egress to"),
    ("flows-allowed", "api", [main("args", ["--db=http://db:80"])], "args[0] names db.agents:80"),
    ("flows-allowed", "prometheus", [("NetworkPolicy/redis-ingress-9121", "", DELETE)], "scrapes StatefulSet"),
    ("no-undeclared-flows", "redis-ingress-9121", [new(STRAY), new(TO_REDIS)], "nothing says that it will"),
    ("no-undeclared-flows", "redis-ingress-6379", [env("X", "y"), main("env[2].value", "z")], 'Deployment "api"'),
    # conventions
    (
        "served-api-version",
        "nightly",
        [("CronJob/nightly", "apiVersion", "batch/v1beta1")],
        "gone since Kubernetes 1.25",
    ),
    ("served-api-version", "api", [("Deployment/api", "apiVersion", "apps/v1beta2")], "use apps/v1"),
    ("custom-resource-definition", "thing", [new(OTHER_API)], "nothing defines Thing of example.com"),
    ("standard-labels", "api", [("Deployment/api", "metadata.labels", {"app": "x"})], "app.kubernetes.io/name"),
    ("no-default-namespace", "api", [("Deployment/api", "metadata.namespace", "default")], "namespace default"),
    ("unique-variables", "api", [main("env[1].name", "LOG_LEVEL")], "sets LOG_LEVEL 2 times"),
    ("no-secret-in-config-file", "redis", [("ConfigMap/redis", "data.key", KEY)], "the file key"),
    # data
    ("redis-cluster-size", "redis", [at("redis", "spec.replicas", 2)], "2 nodes"),
    (
        "redis-cluster-bus",
        "redis",
        [("NetworkPolicy/redis-ingress-16379", "", DELETE)],
        "cluster bus; allow ingress between them on 16379",
    ),
    ("redis-announce-hostname", "redis", [at("redis", f"{C0}.args", ["redis-server"])], "cluster-announce-hostname"),
    ("redis-persistence", "redis", [at("redis", f"{C0}.volumeMounts[0].mountPath", "/d")], "/data is on no claim"),
    (
        "redis-persistence",
        "redis",
        [("ConfigMap/redis", 'data."redis.conf"', REDIS_CONF.replace("appendonly yes", 'save ""'))],
        "writes nothing",
    ),
    ("redis-memory", "redis", [at("redis", f"{C0}.args[3]", "250mb")], "maxmemory is 250Mi of a memory limit of 256Mi"),
    ("redis-memory", "redis", [at("redis", f"{C0}.args[2]", "--port")], "until the kernel kills it"),
    ("redis-memory", "redis", [("ConfigMap/redis", 'data."redis.conf"', "appendonly yes")], "maxmemory-policy"),
    ("kafka-quorum", "controller", [at("controller", "spec.replicas", 4)], "4 controllers survive no more"),
    ("kafka-quorum", "broker", [at("controller", "spec.replicas", 5)], "lists 3 nodes, and 5 are controllers"),
    ("kafka-replication", "broker", [at("broker", "spec.replicas", 2)], "3 copies, and there are 2"),
    ("kafka-replication", "broker", [variable("MIN_INSYNC_REPLICAS", "3", 4)], "3 of 3 copies"),
    ("kafka-replication", "broker", [variable("DEFAULT_REPLICATION_FACTOR", "1", 3)], "loses partitions"),
    ("kafka-auto-create", "broker", [("ConfigMap/kafka", 'data."server.properties"', "log.dirs=/data/x")], "mistyped"),
    (
        "kafka-log-dirs",
        "broker",
        [("ConfigMap/kafka", 'data."server.properties"', KAFKA_CONF.replace("/logs", ""))],
        "lost+found",
    ),
    ("kafka-log-dirs", "broker", [variable("DATA_DIR", "/tmp", 2)], "/tmp/logs is on no claim"),
    ("kafka-log-dirs", "broker", [("ConfigMap/kafka", 'data."server.properties"', "")], "nowhere"),
    ("quorum-budget", "broker", [("PodDisruptionBudget/broker", "spec.maxUnavailable", 2)], "1 may be missing"),
    (
        "quorum-budget",
        "controller",
        [("PodDisruptionBudget/controller", "spec", budget("", "controller", minAvailable=1)["spec"])],
        "lets 2 pods go",
    ),
    # observability
    ("alert-metrics", "prometheus", [alert("redis_memory_usd_bytes")], '"redis_memory_usd_bytes", which nothing'),
    ("alert-metrics", "prometheus", [alert("kafka_brockers")], "Full reads"),
    (
        "alert-metrics",
        "r",
        [
            new(
                manifest(
                    "monitoring.coreos.com/v1",
                    "PrometheusRule",
                    "data",
                    "r",
                    spec={"groups": [{"name": "g", "rules": [{"alert": "A", "expr": "nobody_has > 1"}]}]},
                )
            )
        ],
        "A reads",
    ),
    ("dashboard-metrics", "boards", [board(title="T", targets=[{"expr": "sum(redis_gone)"}])], 'panel "T" reads'),
]

# What must not set off a rule, beyond the baseline.
SILENT: list[tuple[str, list[Change]]] = [
    ("no-host-namespaces", [api("hostNetwork", False), api("shareProcessNamespace", True)]),
    ("no-host-ports", [main("ports[0].hostPort", 0)]),
    (
        "host-path-read-only",
        [
            HOST_PATH,
            ("DaemonSet/node", f"{C0}.volumeMounts", [{"name": "root", "mountPath": "/host", "readOnly": True}]),
        ],
    ),
    ("volume-types", [HOST_PATH]),
    ("default-proc-mount", [main("securityContext.procMount", "Default")]),
    ("safe-sysctls", [api("securityContext.sysctls", [{"name": "net.ipv4.tcp_syncookies"}])]),
    (
        "mandatory-access-control",
        [
            api("securityContext.appArmorProfile", {"type": "Localhost", "localhostProfile": "p"}),
            api("securityContext.seLinuxOptions", {"type": "container_t", "level": "s0:c1"}),
        ],
    ),
    ("no-host-process", [api("securityContext.windowsOptions", {"hostProcess": False})]),
    ("no-host-in-probes", [main("livenessProbe.httpGet", {"port": "http", "host": ""})]),
    (
        "no-unused-token",
        [api("automountServiceAccountToken", DELETE), api("serviceAccountName", "reader")],
    ),
    ("no-unused-token", [api("automountServiceAccountToken", DELETE), api("serviceAccountName", "of-another-stack")]),
    ("no-rbac-wildcards", [role(apiGroups=["apps"], resources=["deployments/*"], verbs=["get"])]),
    ("no-rbac-escalation", [role(resources=["roles"], verbs=["bind"], resourceNames=["viewer"])]),
    ("no-rbac-escalation", [role(resources=["pods/exec"], verbs=["list"])]),
    ("rbac-secrets", [role(resources=["secrets"], verbs=["create", "delete"])]),
    ("no-cluster-admin", [binding("roleRef", {"kind": "Role", "name": "cluster-admin"})]),
    ("rbac-named-subjects", [binding("subjects[0]", {"kind": "User", "name": "default"})]),
    ("binding-references", [binding("roleRef", {"kind": "ClusterRole", "name": "view"})]),
    ("binding-references", [binding("subjects[0].namespace", "elsewhere"), binding("subjects[0].name", "gone")]),
    ("requests-within-limits", [main("resources.requests.cpu", "1000m"), main("resources.limits.cpu", 1)]),
    ("memory-overcommit", [main("resources.requests.memory", "64Mi")]),
    ("empty-dir-size", [api("volumes[0].emptyDir", {"medium": "Memory", "sizeLimit": "1Gi"})]),
    ("empty-dir-size", [api("volumes[0].emptyDir", {"medium": "Memory"})]),
    ("quota-fits", [("ResourceQuota/quota", "spec.hard", {"pods": 100})]),
    ("limit-range-fits", [("LimitRange/limits", "spec.limits[0]", {"type": "Pod", "max": {"memory": "1Mi"}})]),
    ("distinct-probes", [main("livenessProbe", {"exec": {"command": ["true"]}})]),
    ("distinct-probes", [main("livenessProbe", DELETE)]),
    ("stop-within-grace", [main("lifecycle.preStop.sleep.seconds", 29)]),
    (
        "stop-within-grace",
        [api("terminationGracePeriodSeconds", 91), main("lifecycle.preStop.exec.command", ["sleep", "90"])],
    ),
    (
        "replicas-spread",
        [
            api("topologySpreadConstraints", DELETE),
            api(
                "affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution",
                [
                    {
                        "weight": 1,
                        "podAffinityTerm": {
                            "topologyKey": "kubernetes.io/hostname",
                            "labelSelector": {"matchLabels": {"app": "api"}},
                        },
                    }
                ],
            ),
        ],
    ),
    ("pdb-exists", [new(deployment(replicas=1))]),
    ("pdb-exists", [("PodDisruptionBudget/db", "spec.selector", {})]),
    ("rolling-update", [new(deployment(replicas=1, strategy={"type": "Recreate"}))]),
    (
        "selector-matches-template",
        [at("db", "spec.selector", {"matchExpressions": [{"key": "app", "operator": "In", "values": ["db", "x"]}]})],
    ),
    ("disjoint-selectors", [("Job/once", "spec.template.metadata.labels.app", "api")]),
    (
        "claim-single-writer",
        [*CLAIM, *ONE, ("Deployment/api", "spec.strategy", {"type": "Recreate"})],
    ),
    ("claim-single-writer", [*CLAIM, ("PersistentVolumeClaim/work", "spec.accessModes", ["ReadWriteMany"])]),
    ("stateful-set-service", [at("db", "spec.serviceName", "db"), at("db", "spec.replicas", 1)]),
    ("cron-job-concurrency", [("CronJob/nightly", "spec.concurrencyPolicy", "Replace")]),
    (
        "cron-job-deadline",
        [("CronJob/nightly", "spec.startingDeadlineSeconds", DELETE), ("CronJob/nightly", "spec.suspend", True)],
    ),
    (
        "job-deadline",
        [("CronJob/nightly", f"{CRON}.activeDeadlineSeconds", DELETE), ("CronJob/nightly", "spec.suspend", True)],
    ),
    ("autoscaler-range", [hpa("maxReplicas", 3)]),
    ("config-map-exists", [main("envFrom", [{"configMapRef": {"name": "gone", "optional": True}}])]),
    (
        "config-map-exists",
        [api("volumes[0]", {"name": "tmp", "projected": {"sources": [{"configMap": {"name": "kube-root-ca.crt"}}]}})],
    ),
    ("secret-exists", [("Secret/redis", "", DELETE), new(EXTERNAL)]),
    ("secret-exists", [("Secret/redis", "", DELETE), main("env[1].valueFrom.secretKeyRef.optional", True)]),
    ("secret-key-exists", [("Secret/redis", "data", DELETE)]),
    ("secret-key-exists", [("Secret/redis", "", DELETE)]),
    ("service-account-exists", [api("serviceAccountName", "reader")]),
    ("claim-exists", CLAIM),
    ("volume-exists", [main("volumeMounts[0].subPath", "a")]),
    ("backend-exists", [route(80)]),
    ("backend-exists", [ingress("defaultBackend", {"resource": {"kind": "Bucket", "name": "x"}})]),
    ("unique-objects", [new(service("collectors", "api"))]),
    ("unique-objects", [new({**service("agents", "api"), "apiVersion": "serving.knative.dev/v1"})]),
    ("service-target-port", [("Service/api", "spec.ports[0].targetPort", "8080")]),
    (
        "service-target-port",
        [
            ("Service/db", "spec.ports[0].targetPort", 81),
            at("db", f"{C0}.ports", DELETE),
        ],
    ),
    ("probe-port", [main("readinessProbe.tcpSocket.port", 9999)]),
    ("scrape-port", [monitor("ServiceMonitor", "endpoints", "http")]),
    ("scrape-port", [monitor("PodMonitor", "podMetricsEndpoints", "http")]),
    ("no-external-ips", [("Service/api", "spec.externalIPs", [])]),
    ("service-cluster-only", [("Service/api", "spec.type", "ClusterIP")]),
    ("ingress-tls", [ingress("tls", DELETE), ingress("rules[0].host", "api.localhost")]),
    ("ingress-tls", [ingress("tls[0].hosts", ["*.example.com"])]),
    (
        "network-policy-selects-pods",
        [
            (
                "NetworkPolicy/redis-ingress-6379",
                "spec.podSelector.matchLabels",
                {"acme.cert-manager.io/http01-solver": "true"},
            )
        ],
    ),
    (
        "network-policy-selects-pods",
        [
            ("NetworkPolicy/redis-ingress-6379", "spec.podSelector.matchLabels", {"cluster": "main"}),
            new(manifest("monitoring.coreos.com/v1", "Prometheus", "data", "main")),
        ],
    ),
    (
        "no-open-network-policy",
        [
            (
                "NetworkPolicy/api-egress-6379",
                "spec.egress[0]",
                {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 443}]},
            )
        ],
    ),
    # A range of ports, and a port by its name.
    ("flows-allowed", [("NetworkPolicy/api-egress-6379", "spec.egress[0].ports[0]", {"port": 6000, "endPort": 7000})]),
    ("flows-allowed", [("NetworkPolicy/redis-ingress-6379", "spec.ingress[0].ports[0]", {"port": "http"})]),
    ("flows-allowed", [env("IMAGE", "db:1.2"), main("args", ["a/db", "# http://db"])]),
    ("no-undeclared-flows", [new(STRAY)]),
    ("served-api-version", [("CronJob/nightly", "apiVersion", "batch/v1")]),
    ("custom-resource-definition", [new(OTHER_API), new(DEFINITION)]),
    ("custom-resource-definition", [new({**OTHER_API, "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledJob"})]),
    ("standard-labels", [("ConfigMap/redis", "metadata.labels", {}), ("Service/api", "metadata.labels", {})]),
    ("no-default-namespace", [("ConfigMap/redis", "metadata.namespace", "default")]),
    ("no-default-namespace", [("Deployment/api", "metadata.namespace", DELETE)]),
    ("unique-variables", [main("env[1].name", "log_level")]),
    ("no-secret-in-config-file", [("ConfigMap/redis", "data.script", "grep -q -e '-----BEGIN PRIVATE KEY-----' f")]),
    (
        "redis-cluster-size",
        [
            at("redis", "spec.replicas", 1),
            ("ConfigMap/redis", 'data."redis.conf"', REDIS_CONF.replace("cluster-enabled yes", "")),
        ],
    ),
    (
        "redis-cluster-bus",
        [("NetworkPolicy/default-deny", "", DELETE), ("NetworkPolicy/redis-ingress-9121", "", DELETE)],
    ),
    (
        "redis-announce-hostname",
        [
            at("redis", f"{C0}.args", ["redis-server"]),
            ("ConfigMap/redis", 'data."redis.conf"', f"{REDIS_CONF}cluster-announce-hostname x"),
        ],
    ),
    ("redis-persistence", [at("redis", f"{C0}.args", ["redis-server", "--dir", "/data/redis"])]),
    ("redis-memory", [at("redis", f"{C0}.args[3]", "0.2gb"), at("redis", f"{C0}.args[3]", "209715200")]),
    ("kafka-quorum", [variable("PROCESS_ROLES", "broker", 0)]),
    ("kafka-replication", [variable("KAFKA_CFG_MIN_INSYNC_REPLICAS", "1", 4)]),
    (
        "kafka-auto-create",
        [
            ("ConfigMap/kafka", 'data."server.properties"', "log.dirs=/data/x"),
            variable("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "FALSE", 1),
        ],
    ),
    ("kafka-log-dirs", [variable("KAFKA_LOG_DIRS", "/data/a,/data/b", 1)]),
    ("quorum-budget", [("PodDisruptionBudget/broker", "spec", budget("", "broker", minAvailable=2)["spec"])]),
    # An application's own, of which nothing is known, once something of it is scraped.
    (
        "alert-metrics",
        [
            ("Deployment/api", "spec.template.metadata.annotations", {"prometheus.io/scrape": "true"}),
            ("Deployment/api", 'spec.template.metadata.annotations."prometheus.io/port"', "8080"),
            alert("http_requests_total"),
            (
                "ConfigMap/prometheus",
                'data."prometheus.yml"',
                PROMETHEUS_CONF.replace(", namespaces: {own_namespace: true}", ""),
            ),
        ],
    ),
    ("alert-metrics", [alert("kafka_brokers")]),  # Kafka is none of this stack: who runs it may export it
    ("autoscaler-range", [hpa("maxReplicas", 2)]),
    ("alert-metrics", [alert("nobody_has"), ("ConfigMap/prometheus", 'data."prometheus.yml"', "{}")]),
    ("dashboard-metrics", [board(title="T", targets=[{"expr": "container_memory_rss", "refId": "A"}])]),
    ("dashboard-metrics", [("ConfigMap/boards", 'data."board.json"', "{not json")]),
]
