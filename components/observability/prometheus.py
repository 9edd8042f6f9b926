"""Prometheus: discovers the stack's pods, stores their metrics, evaluates the rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pulumi
import pulumi_kubernetes as k8s
import yaml

from components.context import StackNamespaces
from components.network import ANYWHERE, API_SERVER, NetworkEdge, Peer, network_policy
from components.parts import PARTS
from components.pods import (
    config_hash,
    http_probe,
    read_only_mount,
    resource_requirements,
    scrape_annotations,
    secure_pod,
)
from components.workloads import stateful_set, template
from manifests.labels import CONFIG_HASH
from settings import PrometheusSettings
from settings.types import duration_text

from .collect import alerts
from .common import CONFIG, Program, cluster_name, files, grant, subject

_KUBELET = 10250


def configuration(spec: PrometheusSettings, namespaces: StackNamespaces) -> dict[str, str]:
    """Return the files below /etc/prometheus by path: the configuration with the settings put in, and the rules."""
    config = yaml.load((CONFIG / "prometheus.yml").read_text(), yaml.CSafeLoader)
    config["global"]["scrape_interval"] = config["global"]["scrape_timeout"] = duration_text(spec.scrape_interval)
    stack = [namespace.name for namespace in namespaces.all.values()]
    for job in config["scrape_configs"]:
        for discovery in job["kubernetes_sd_configs"]:
            if "names" in discovery.get("namespaces", {}):
                discovery["namespaces"]["names"] = stack
        for rule in job.get("metric_relabel_configs", []):
            if rule["source_labels"] == ["namespace"]:
                rule["regex"] = "|".join(stack)
    rules = {f"rules/{name}": text for name, text in alerts().items()}
    return {"prometheus.yml": yaml.dump(config, Dumper=yaml.CSafeDumper, sort_keys=False), **rules}


def deploy(
    part: Program,
    spec: PrometheusSettings,
    *,
    namespaces: StackNamespaces,
    storage_class: str | None,
    targets: Sequence[Program],
    clients: tuple[Peer, ...],
    protect: bool,
    parent: pulumi.Resource,
) -> None:
    """One replica with a claim; it may open connections to what it scrapes (`targets`), and be queried by `clients`."""
    child = pulumi.ResourceOptions(parent=parent)
    config = configuration(spec, namespaces)
    # A key of a ConfigMap has no slash.
    keys = {path.replace("/", "."): path for path in config}
    config_map = k8s.core.v1.ConfigMap(
        part.name, metadata=part.metadata(), data={key: config[path] for key, path in keys.items()}, opts=child
    )
    account = _account(part, namespaces, child)
    service = part.service(child)
    container = k8s.core.v1.ContainerArgs(
        name=part.name,
        image=part.image.reference,
        args=[
            "--config.file=/etc/prometheus/prometheus.yml",
            "--storage.tsdb.path=/prometheus",
            f"--storage.tsdb.retention.time={duration_text(spec.retention)}",
            f"--storage.tsdb.retention.size={int(spec.retention_size.amount)}B",
        ],
        ports=[part.container_port()],
        resources=resource_requirements(spec.resources),
        # It is not ready while it replays its write-ahead log: minutes after a crash on a large volume.
        startup_probe=http_probe("/-/ready", failures=90),
        readiness_probe=http_probe("/-/ready"),
        liveness_probe=http_probe("/-/healthy", failures=6),
        volume_mounts=[
            read_only_mount("config", "/etc/prometheus"),
            k8s.core.v1.VolumeMountArgs(name="data", mount_path="/prometheus"),
        ],
    )
    pod = secure_pod(
        [container],
        user=part.image.user,
        owns_volumes=True,
        account=account.metadata.name,
        token=True,
        # It writes what it holds in memory to the volume.
        grace_seconds=120,
        volumes=[files("config", config_map, keys)],
    )
    stateful_set(
        part.name,
        part.metadata(),
        part.selector(),
        template(pod, part.labels(), {**scrape_annotations(part.port), CONFIG_HASH: config_hash(config)}),
        replicas=1,
        service=service,
        storage=str(spec.storage),
        storage_class=storage_class,
        protect=protect,
        timeouts=pulumi.CustomTimeouts(create="20m", update="20m", delete="10m"),
        parent=parent,
    )
    network_policy(
        part.name,
        namespace=part.namespace.ref,
        pod_labels=part.selector(),
        ingress=[NetworkEdge(clients, (part.port,))],
        egress=[
            API_SERVER,
            # Nodes are no pods, and their addresses are not known beforehand.
            NetworkEdge((ANYWHERE,), (_KUBELET,)),
            # An agent's metrics may be on any port. Its own policy lets Prometheus in on just that one.
            NetworkEdge((Peer(namespaces.agents.name),), ()),
            *_exporters(namespaces),
            *(NetworkEdge((target.peer(),), (target.port,)) for target in targets),
        ],
        opts=child,
    )


def _exporters(namespaces: StackNamespaces) -> Iterator[NetworkEdge]:
    """To each namespace that has exporters of parts, on their ports. Their own policies say which pods."""
    exporters = [exporter for part in PARTS for exporter in part.exporters]
    for key, namespace in namespaces.all.items():
        ports = tuple(exporter.port for exporter in exporters if exporter.namespace == key)
        if ports:
            yield NetworkEdge((Peer(namespace.name),), ports)


def _account(part: Program, namespaces: StackNamespaces, child: pulumi.ResourceOptions) -> k8s.core.v1.ServiceAccount:
    account = k8s.core.v1.ServiceAccount(
        part.name, metadata=part.metadata(), automount_service_account_token=False, opts=child
    )

    def role(name: str, rules: list[k8s.rbac.v1.PolicyRuleArgs]) -> k8s.rbac.v1.ClusterRole:
        metadata = k8s.meta.v1.ObjectMetaArgs(name=cluster_name(namespaces, name), labels=part.labels())
        return k8s.rbac.v1.ClusterRole(name, metadata=metadata, rules=rules, opts=child)

    def rule(resource: str, *verbs: str) -> k8s.rbac.v1.PolicyRuleArgs:
        return k8s.rbac.v1.PolicyRuleArgs(api_groups=[""], resources=[resource], verbs=list(verbs))

    pods = role("prometheus-pods", [rule("pods", "list", "watch")])
    grant(pods, account, part=part, namespaces=namespaces, opts=child)
    nodes = role("prometheus-nodes", [rule("nodes", "list", "watch"), rule("nodes/metrics", "get")])
    k8s.rbac.v1.ClusterRoleBinding(
        "prometheus-nodes",
        metadata=k8s.meta.v1.ObjectMetaArgs(name=cluster_name(namespaces, "prometheus-nodes"), labels=part.labels()),
        role_ref=k8s.rbac.v1.RoleRefArgs(
            api_group="rbac.authorization.k8s.io", kind="ClusterRole", name=nodes.metadata.name
        ),
        subjects=[subject(account, part)],
        opts=child,
    )
    return account
