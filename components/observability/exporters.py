"""Exporters of the cluster itself: kube-state-metrics for its objects, node-exporter for its nodes."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as k8s

from components.context import StackNamespaces
from components.network import API_SERVER, NetworkEdge, Peer, network_policy
from components.pods import http_probe, resource_requirements, scrape_annotations, secure_pod
from components.workloads import deployment, selecting, template
from settings import Resources

from .common import TIMEOUTS, Program, cluster_name, grant

# What rules and dashboards ask for, by API group.
_OBJECTS = {
    "": ["persistentvolumeclaims", "pods", "resourcequotas"],
    "apps": ["daemonsets", "deployments", "statefulsets"],
    "autoscaling": ["horizontalpodautoscalers"],
    "batch": ["cronjobs", "jobs"],
}
_ROLE = "app.kubernetes.io/name,app.kubernetes.io/component"
_LABELS = {
    "deployments": _ROLE,
    # KEDA gives the labels of a ScaledObject to the autoscaler that it makes.
    "horizontalpodautoscalers": _ROLE,
    "pods": f"{_ROLE},agentstack.dev/track,agentstack.dev/device",
}
_TELEMETRY = 8081

# Network statistics are left out: without the node's network namespace, which would put the exporter beyond
# NetworkPolicies, they would be the pod's own.
_COLLECTORS = ("cpu", "diskstats", "filesystem", "loadavg", "meminfo", "pressure", "stat", "uname", "vmstat")
_HOST_PATHS = {"proc": "/proc", "sys": "/sys", "root": "/"}
# Of images, containers and pods, not of the node.
_MOUNTS_EXCLUDED = r"^/(dev|proc|sys|run|var/lib/docker/.+|var/lib/containers/.+|var/lib/kubelet/.+)($|/)"


def kube_state_metrics(
    part: Program,
    resources: Resources,
    *,
    namespaces: StackNamespaces,
    clients: tuple[Peer, ...],
    parent: pulumi.Resource,
) -> None:
    """One replica that may see the stack's four namespaces, and there only what rules and dashboards need."""
    child = pulumi.ResourceOptions(parent=parent)
    account = k8s.core.v1.ServiceAccount(
        part.name, metadata=part.metadata(), automount_service_account_token=False, opts=child
    )
    role = k8s.rbac.v1.ClusterRole(
        part.name,
        metadata=k8s.meta.v1.ObjectMetaArgs(name=cluster_name(namespaces, part.name), labels=part.labels()),
        rules=[
            k8s.rbac.v1.PolicyRuleArgs(api_groups=[group], resources=kinds, verbs=["list", "watch"])
            for group, kinds in _OBJECTS.items()
        ],
        opts=child,
    )
    grant(role, account, part=part, namespaces=namespaces, opts=child)
    container = k8s.core.v1.ContainerArgs(
        name=part.name,
        image=part.image.reference,
        args=[
            f"--port={part.port}",
            f"--telemetry-port={_TELEMETRY}",
            f"--namespaces={','.join(namespace.name for namespace in namespaces.all.values())}",
            f"--resources={','.join(sorted(kind for kinds in _OBJECTS.values() for kind in kinds))}",
            f"--metric-labels-allowlist={','.join(f'{kind}=[{names}]' for kind, names in _LABELS.items())}",
        ],
        ports=[
            part.container_port(),
            k8s.core.v1.ContainerPortArgs(name="telemetry", container_port=_TELEMETRY),
        ],
        resources=resource_requirements(resources),
        # /livez asks the API server too: a liveness probe on it would restart this pod for the server's trouble.
        readiness_probe=k8s.core.v1.ProbeArgs(
            http_get=k8s.core.v1.HTTPGetActionArgs(path="/readyz", port="telemetry"),
            period_seconds=10,
            timeout_seconds=5,
        ),
        liveness_probe=http_probe("/healthz"),
    )
    pod = secure_pod([container], user=part.image.user, account=account.metadata.name, token=True)
    deployment(
        part.name,
        part.metadata(),
        part.selector(),
        # No annotation: it has a scrape job of its own.
        template(pod, part.labels(), {}),
        opts=pulumi.ResourceOptions(parent=parent, custom_timeouts=TIMEOUTS),
    )
    network_policy(
        part.name,
        namespace=part.namespace.ref,
        pod_labels=part.selector(),
        ingress=[NetworkEdge(clients, (part.port,))],
        egress=[API_SERVER],
        opts=child,
    )


def node_exporter(part: Program, resources: Resources, *, clients: tuple[Peer, ...], parent: pulumi.Resource) -> None:
    """One pod on every node, tainted ones included, that reads the node's file system and writes nothing."""
    child = pulumi.ResourceOptions(parent=parent)
    container = k8s.core.v1.ContainerArgs(
        name=part.name,
        image=part.image.reference,
        args=[
            "--path.procfs=/host/proc",
            "--path.sysfs=/host/sys",
            "--path.rootfs=/host/root",
            "--collector.disable-defaults",
            *(f"--collector.{name}" for name in _COLLECTORS),
            f"--collector.filesystem.mount-points-exclude={_MOUNTS_EXCLUDED}",
        ],
        ports=[part.container_port()],
        resources=resource_requirements(resources),
        readiness_probe=http_probe("/"),
        liveness_probe=http_probe("/", failures=6),
        volume_mounts=[
            k8s.core.v1.VolumeMountArgs(
                name=name,
                mount_path=f"/host/{name}",
                read_only=True,
                # What is mounted further down as well; without it those mounts stay writable.
                recursive_read_only="IfPossible",
            )
            for name in _HOST_PATHS
        ],
    )
    pod = secure_pod(
        [container],
        user=part.image.user,
        tolerations=[k8s.core.v1.TolerationArgs(operator="Exists")],
        volumes=[
            k8s.core.v1.VolumeArgs(
                name=name, host_path=k8s.core.v1.HostPathVolumeSourceArgs(path=path, type="Directory")
            )
            for name, path in _HOST_PATHS.items()
        ],
    )
    k8s.apps.v1.DaemonSet(
        part.name,
        metadata=part.metadata(),
        spec=k8s.apps.v1.DaemonSetSpecArgs(
            selector=selecting(part.selector()),
            template=template(pod, part.labels(), scrape_annotations(part.port)),
        ),
        opts=pulumi.ResourceOptions(parent=parent, custom_timeouts=TIMEOUTS),
    )
    network_policy(
        part.name,
        namespace=part.namespace.ref,
        pod_labels=part.selector(),
        ingress=[NetworkEdge(clients, (part.port,))],
        opts=child,
    )
