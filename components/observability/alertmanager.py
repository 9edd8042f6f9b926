"""Alertmanager: groups alerts and posts them to a webhook."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as k8s
import yaml

from components.network import ANYWHERE, NetworkEdge, Peer, network_policy
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
from settings import AlertmanagerSettings

from .common import CONFIG, TIMEOUTS, Program, files

_WEBHOOK = "/etc/alertmanager-webhook"
_STORAGE = "1Gi"
"""Silences and notifications of thousands of alerts are some megabytes: it never has to grow."""


def configuration(spec: AlertmanagerSettings) -> dict[str, str]:
    """Return the files below /etc/alertmanager by path: `config/alertmanager.yml` with the webhook put in."""
    config = yaml.load((CONFIG / "alertmanager.yml").read_text(), yaml.CSafeLoader)
    if spec.webhook_url_secret is not None:
        # Read at each notification, so that a new URL needs no restart.
        config["receivers"][0]["webhook_configs"] = [{"url_file": f"{_WEBHOOK}/url", "send_resolved": True}]
    return {"alertmanager.yml": yaml.dump(config, Dumper=yaml.CSafeDumper, sort_keys=False)}


def deploy(
    part: Program,
    spec: AlertmanagerSettings,
    *,
    storage_class: str | None,
    clients: tuple[Peer, ...],
    protect: bool,
    parent: pulumi.Resource,
) -> None:
    """One replica that takes alerts from `clients`; a small claim keeps silences, and what was notified already."""
    child = pulumi.ResourceOptions(parent=parent)
    config = configuration(spec)
    config_map = k8s.core.v1.ConfigMap(part.name, metadata=part.metadata(), data=config, opts=child)
    service = part.service(child)
    volumes = [files("config", config_map, {path: path for path in config})]
    mounts = [
        read_only_mount("config", "/etc/alertmanager"),
        k8s.core.v1.VolumeMountArgs(name="data", mount_path="/alertmanager"),
    ]
    webhook = spec.webhook_url_secret
    if webhook is not None:
        secret = k8s.core.v1.SecretVolumeSourceArgs(
            secret_name=webhook.name, items=[k8s.core.v1.KeyToPathArgs(key=webhook.key, path="url")]
        )
        volumes.append(k8s.core.v1.VolumeArgs(name="webhook", secret=secret))
        mounts.append(read_only_mount("webhook", _WEBHOOK))
    container = k8s.core.v1.ContainerArgs(
        name=part.name,
        image=part.image.reference,
        args=[
            "--config.file=/etc/alertmanager/alertmanager.yml",
            "--storage.path=/alertmanager",
            # One replica gossips with nobody.
            "--cluster.listen-address=",
        ],
        ports=[part.container_port()],
        resources=resource_requirements(spec.resources),
        readiness_probe=http_probe("/-/ready"),
        liveness_probe=http_probe("/-/healthy"),
        volume_mounts=mounts,
    )
    pod = secure_pod([container], user=part.image.user, owns_volumes=True, volumes=volumes)
    stateful_set(
        part.name,
        part.metadata(),
        part.selector(),
        template(pod, part.labels(), {**scrape_annotations(part.port), CONFIG_HASH: config_hash(config)}),
        replicas=1,
        service=service,
        storage=_STORAGE,
        storage_class=storage_class,
        protect=protect,
        resizable=False,
        timeouts=TIMEOUTS,
        parent=parent,
    )
    network_policy(
        part.name,
        namespace=part.namespace.ref,
        pod_labels=part.selector(),
        ingress=[NetworkEdge(clients, (part.port,))],
        egress=[NetworkEdge((ANYWHERE,), (443,))] if webhook is not None else [],
        opts=child,
    )
