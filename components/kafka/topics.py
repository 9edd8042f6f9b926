"""The Job that makes the topics as declared."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as k8s

from components.kafka.common import (
    CONFIG_DIR,
    FILES,
    KAFKA_HOME,
    TIMEOUTS,
    bootstrap_servers,
    config,
    heap,
    image,
    scratch,
    variable,
    version,
)
from components.labels import labels
from components.namespaces import Namespace
from components.pods import config_hash, container_security, pod_security, resource_requirements
from components.versions import KAFKA
from settings import KafkaSettings

_SCRIPTS = {name: (FILES / name).read_text() for name in ("topics.sh", "topics.awk")}
_REFUSED = 2
"""The exit code of topics.sh when a person must decide: trying again would not help."""


def declared(spec: KafkaSettings) -> str:
    """The topics as topics.sh reads them, a line each: name, partitions, cleanup policy, retention in milliseconds."""
    return "\n".join(
        f"{name} {topic.partitions} {topic.cleanup} {int(topic.retention.total_seconds() * 1000)}"
        for name, topic in sorted(spec.topics.items())
    )


def topics_job(
    spec: KafkaSettings,
    *,
    namespace: Namespace,
    cluster_domain: str,
    parent: pulumi.Resource,
    depends_on: Sequence[pulumi.Resource],
) -> k8s.batch.v1.Job:
    """Create the Job and its scripts; its name changes with whatever it does, so that a change runs it again."""
    metadata_labels = labels("kafka", "topics", version(spec))
    environment = {
        "KAFKA_HOME": KAFKA_HOME,
        "BOOTSTRAP_SERVERS": bootstrap_servers(namespace, cluster_domain),
        "TOPICS": declared(spec),
        "REPLICATION_FACTOR": str(spec.replication_factor),
        "MIN_INSYNC_REPLICAS": str(spec.min_insync_replicas),
        "LOG_DIR": "/tmp",
        # The tools run for seconds: starting fast is all that counts.
        "KAFKA_JVM_PERFORMANCE_OPTS": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
    }
    identity = config_hash(
        {**_SCRIPTS, **environment, "image": image(spec), "resources": spec.job_resources.model_dump_json()}
    )
    scripts = k8s.core.v1.ConfigMap(
        "kafka-topics",
        metadata=k8s.meta.v1.ObjectMetaArgs(name="kafka-topics", namespace=namespace.ref, labels=metadata_labels),
        data=_SCRIPTS,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    tmp, tmp_mount = scratch()
    files, files_mount = config(scripts.metadata.name)
    return k8s.batch.v1.Job(
        "kafka-topics",
        metadata=k8s.meta.v1.ObjectMetaArgs(
            name=f"kafka-topics-{identity}", namespace=namespace.ref, labels=metadata_labels
        ),
        spec=k8s.batch.v1.JobSpecArgs(
            backoff_limit=3,
            pod_failure_policy=k8s.batch.v1.PodFailurePolicyArgs(
                rules=[
                    k8s.batch.v1.PodFailurePolicyRuleArgs(
                        action="FailJob",
                        on_exit_codes=k8s.batch.v1.PodFailurePolicyOnExitCodesRequirementArgs(
                            operator="In", values=[_REFUSED]
                        ),
                    )
                ]
            ),
            template=k8s.core.v1.PodTemplateSpecArgs(
                metadata=k8s.meta.v1.ObjectMetaArgs(labels=metadata_labels),
                spec=k8s.core.v1.PodSpecArgs(
                    restart_policy="Never",
                    enable_service_links=False,
                    automount_service_account_token=False,
                    security_context=pod_security(KAFKA.user),
                    containers=[
                        k8s.core.v1.ContainerArgs(
                            name="topics",
                            image=image(spec),
                            command=["/bin/sh", f"{CONFIG_DIR}/topics.sh"],
                            env=[
                                *(variable(name, value) for name, value in environment.items()),
                                heap(spec.job_resources),
                            ],
                            resources=resource_requirements(spec.job_resources),
                            security_context=container_security(),
                            volume_mounts=[files_mount, tmp_mount],
                        )
                    ],
                    volumes=[files, tmp],
                ),
            ),
        ),
        opts=pulumi.ResourceOptions(parent=parent, depends_on=list(depends_on), custom_timeouts=TIMEOUTS),
    )
