"""The exporter of what Kafka knows about topics and consumer groups: lag above all."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as k8s

from components.context import Namespace
from components.labels import labels
from components.pods import resource_requirements, scrape_annotations, secure_pod
from components.versions import KAFKA_EXPORTER
from components.workloads import deployment, metadata, template
from manifests.labels import SECRET_HASH
from settings import KafkaSettings

from .common import EXPORTER, TIMEOUTS
from .part import EXPORTER_PORT
from .users import AUTH_DIR, EXPORTER_ARGUMENTS, EXPORTER_USER, TLS_DIR, Access

# The protocol to speak, not the broker's version: this exporter was released before Kafka 4, which supports clients
# from 2.1 on, and the exporter's default is 2.0.0. https://kafka.apache.org/41/documentation/compatibility.html
_PROTOCOL_VERSION = "3.8.1"


def exporter(
    spec: KafkaSettings,
    *,
    access: Access,
    namespace: Namespace,
    servers: str,
    parent: pulumi.Resource,
    depends_on: Sequence[pulumi.Resource],
) -> k8s.apps.v1.Deployment:
    """Create the Deployment. The exporter ends when it finds no Kafka at its start; it is then started again."""
    metadata_labels = labels("kafka-exporter", "metrics", KAFKA_EXPORTER.version)
    annotations: dict[str, pulumi.Input[str]] = {**scrape_annotations(EXPORTER_PORT)}
    login = []
    tls, tls_mounts = access.tls_files("ca.crt")
    auth, auth_mounts = access.auth_files(EXPORTER_ARGUMENTS)
    if access.exporter_hash is not None:
        annotations[SECRET_HASH] = access.exporter_hash
        # The password in a file of arguments: others on the node can read a command line.
        login = [
            "--sasl.enabled",
            "--sasl.mechanism=scram-sha512",
            f"--sasl.username={EXPORTER_USER}",
            f"@{AUTH_DIR}/{EXPORTER_ARGUMENTS}",
        ]
    if access.certificates is not None:
        login += ["--tls.enabled", f"--tls.ca-file={TLS_DIR}/ca.crt"]
    probe = k8s.core.v1.HTTPGetActionArgs(path="/healthz", port="metrics")
    container = k8s.core.v1.ContainerArgs(
        name="exporter",
        image=KAFKA_EXPORTER.reference,
        args=[
            f"--kafka.server={servers}",
            f"--kafka.version={_PROTOCOL_VERSION}",
            # Scrapes that share one collection lose its last sample now and then, often a group's lag: the reader of
            # the shared channel is not waited for.
            "--concurrent.enable",
            *login,
        ],
        ports=[k8s.core.v1.ContainerPortArgs(name="metrics", container_port=EXPORTER_PORT)],
        resources=resource_requirements(spec.exporter_resources),
        volume_mounts=[*tls_mounts, *auth_mounts] or None,
        # It listens once it is connected: give the first connection a minute.
        startup_probe=k8s.core.v1.ProbeArgs(http_get=probe, period_seconds=5, failure_threshold=12),
        readiness_probe=k8s.core.v1.ProbeArgs(http_get=probe, period_seconds=10),
        liveness_probe=k8s.core.v1.ProbeArgs(http_get=probe, period_seconds=10, timeout_seconds=5, failure_threshold=6),
    )
    pod = secure_pod([container], user=KAFKA_EXPORTER.user, volumes=[*tls, *auth])
    return deployment(
        "kafka-exporter",
        metadata("kafka-exporter", namespace, metadata_labels),
        EXPORTER,
        template(pod, metadata_labels, annotations),
        opts=pulumi.ResourceOptions(parent=parent, depends_on=list(depends_on), custom_timeouts=TIMEOUTS),
    )
