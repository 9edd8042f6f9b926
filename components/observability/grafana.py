"""Grafana: the dashboards, from files."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random

from components.network import NetworkEdge, network_policy
from components.pods import (
    config_hash,
    empty_dir,
    http_probe,
    read_only_mount,
    resource_requirements,
    scrape_annotations,
    secret_files,
    secure_pod,
    variables,
)
from components.workloads import deployment, metadata, template
from manifests.labels import CONFIG_HASH
from settings import GrafanaSettings

from .collect import dashboards
from .common import CONFIG, TIMEOUTS, Program, files

_PATHS = {
    "grafana.ini": "grafana.ini",
    "datasource.yml": "provisioning/datasources/prometheus.yml",
    "dashboards.yml": "provisioning/dashboards/agentstack.yml",
}


def configuration() -> dict[str, str]:
    """Return the files below /etc/grafana by their name in `config/grafana`."""
    return {name: (CONFIG / "grafana" / name).read_text() for name in _PATHS}


def deploy(
    part: Program,
    spec: GrafanaSettings,
    *,
    scrape_interval: str,
    prometheus: Program,
    protect: bool,
    parent: pulumi.Resource,
) -> str:
    """One replica without a volume: data source, dashboards and admin all come from files.

    Returns the name of the Secret with the keys `admin-user` and `admin-password`. What is made in the browser is gone
    after a restart: a dashboard that shall stay goes into the folder `dashboards` of the
    part that it shows.
    """
    child = pulumi.ResourceOptions(parent=parent)
    config, boards = configuration(), dashboards()
    config_map = k8s.core.v1.ConfigMap(part.name, metadata=part.metadata(), data=config, opts=child)
    board_map = k8s.core.v1.ConfigMap(
        f"{part.name}-dashboards",
        metadata=metadata(f"{part.name}-dashboards", part.namespace, part.labels()),
        data=boards,
        opts=child,
    )
    secret = _admin(part, protect, parent)
    part.service(child)
    container = k8s.core.v1.ContainerArgs(
        name=part.name,
        image=part.image.reference,
        env=variables({"SCRAPE_INTERVAL": scrape_interval}),
        ports=[part.container_port()],
        resources=resource_requirements(spec.resources),
        # Its first start fills a new database.
        startup_probe=http_probe("/api/health", failures=30),
        readiness_probe=http_probe("/api/health"),
        liveness_probe=http_probe("/api/health", failures=6),
        volume_mounts=[
            read_only_mount("config", "/etc/grafana"),
            read_only_mount("dashboards", "/etc/grafana-dashboards"),
            read_only_mount("admin", "/etc/grafana-admin"),
            k8s.core.v1.VolumeMountArgs(name="data", mount_path="/var/lib/grafana"),
            k8s.core.v1.VolumeMountArgs(name="scratch", mount_path="/tmp"),
        ],
    )
    pod = secure_pod(
        [container],
        user=part.image.user,
        owns_volumes=True,
        volumes=[
            files("config", config_map, _PATHS),
            files("dashboards", board_map, {name: name for name in boards}),
            secret_files("admin", secret.metadata.name, ("admin-password",)),
            empty_dir("data", "512Mi"),
            empty_dir("scratch", "64Mi"),
        ],
    )
    annotations = {**scrape_annotations(part.port), CONFIG_HASH: config_hash({**config, **boards})}
    deployment(
        part.name,
        part.metadata(),
        part.selector(),
        template(pod, part.labels(), annotations),
        opts=pulumi.ResourceOptions(parent=parent, custom_timeouts=TIMEOUTS),
    )
    network_policy(
        part.name,
        namespace=part.namespace.ref,
        pod_labels=part.selector(),
        ingress=[NetworkEdge((prometheus.peer(),), (part.port,))],
        egress=[NetworkEdge((prometheus.peer(),), (prometheus.port,))],
        opts=child,
    )
    return f"{part.name}-admin"


def _admin(part: Program, protect: bool, parent: pulumi.Resource) -> k8s.core.v1.Secret:
    password = random.RandomPassword(
        f"{part.name}-admin",
        length=32,
        special=False,
        opts=pulumi.ResourceOptions(parent=parent, protect=protect, retain_on_delete=protect),
    )
    return k8s.core.v1.Secret(
        f"{part.name}-admin",
        metadata=metadata(f"{part.name}-admin", part.namespace, part.labels()),
        string_data={"admin-user": "admin", "admin-password": password.result},
        opts=pulumi.ResourceOptions(parent=parent),
    )
