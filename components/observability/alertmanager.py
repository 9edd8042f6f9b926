"""Alertmanager: groups alerts and posts them to a webhook."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as k8s
import yaml

from components.network import ANYWHERE, Edge, Peer, network_policy
from components.pods import (
    CLAIM_TEMPLATES,
    claim,
    config_hash,
    container_security,
    http_probe,
    pod_security,
    read_only_mount,
    resource_requirements,
    scrape_annotations,
)
from manifests.labels import CONFIG_HASH
from settings import AlertmanagerSettings

from .common import CONFIG, TIMEOUTS, Part, files

_WEBHOOK = "/etc/alertmanager-webhook"


def configuration(spec: AlertmanagerSettings) -> dict[str, str]:
    """Return the files below /etc/alertmanager by path: `config/alertmanager.yml` with the webhook put in."""
    config = yaml.load((CONFIG / "alertmanager.yml").read_text(), yaml.CSafeLoader)
    if spec.webhook_url_secret is not None:
        # Read at each notification, so that a new URL needs no restart.
        config["receivers"][0]["webhook_configs"] = [{"url_file": f"{_WEBHOOK}/url", "send_resolved": True}]
    return {"alertmanager.yml": yaml.dump(config, Dumper=yaml.CSafeDumper, sort_keys=False)}


def deploy(
    part: Part,
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
        security_context=container_security(),
        volume_mounts=mounts,
    )
    k8s.apps.v1.StatefulSet(
        part.name,
        metadata=part.metadata(),
        spec=k8s.apps.v1.StatefulSetSpecArgs(
            replicas=1,
            service_name=service.metadata.name,
            selector=k8s.meta.v1.LabelSelectorArgs(match_labels=part.selector()),
            template=k8s.core.v1.PodTemplateSpecArgs(
                metadata=part.pod_metadata({**scrape_annotations(part.port), CONFIG_HASH: config_hash(config)}),
                spec=k8s.core.v1.PodSpecArgs(
                    automount_service_account_token=False,
                    enable_service_links=False,
                    security_context=pod_security(part.image.user, owns_volumes=True),
                    containers=[container],
                    volumes=volumes,
                ),
            ),
            volume_claim_templates=[claim("1Gi", storage_class)],
        ),
        opts=pulumi.ResourceOptions(
            parent=parent,
            protect=protect,
            retain_on_delete=protect,
            ignore_changes=[CLAIM_TEMPLATES],
            custom_timeouts=TIMEOUTS,
        ),
    )
    network_policy(
        part.name,
        namespace=part.namespace.ref,
        pod_labels=part.selector(),
        ingress=[Edge(clients, (part.port,))],
        egress=[Edge((ANYWHERE,), (443,))] if webhook is not None else [],
        opts=child,
    )
