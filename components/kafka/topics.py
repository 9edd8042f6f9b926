"""The Job that makes users, ACLs and topics as declared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s

from components.context import Namespace
from components.jobs import job
from components.labels import labels
from components.pods import config_hash, resource_requirements, secure_pod, variables
from components.versions import KAFKA
from components.workloads import metadata
from settings import AgentSettings, KafkaSettings

from .common import (
    CONFIG_DIR,
    FILES,
    KAFKA_HOME,
    config,
    heap,
    image,
    scratch,
    version,
)
from .users import AUTH_DIR, USERS_KEY, Access, acls

_SCRIPTS = ("client.sh", "topics.sh", "topics.awk", "users.sh", "users.awk")
_TIMEOUT_SECONDS = 600
"""Each script's, in which it tries again: without the engine, the Job starts together with the brokers."""


def declared(spec: KafkaSettings) -> str:
    """The topics as topics.sh reads them, a line each: name, partitions, cleanup policy, retention in milliseconds
    (-1: for ever)."""
    return "\n".join(
        f"{name} {topic.partitions} {topic.cleanup} {topic.retention_ms}" for name, topic in sorted(spec.topics.items())
    )


def topics_job(
    spec: KafkaSettings,
    *,
    access: Access,
    clients: Mapping[str, AgentSettings],
    namespace: Namespace,
    servers: str,
    parent: pulumi.Resource,
    depends_on: Sequence[pulumi.Resource],
) -> k8s.batch.v1.Job:
    """Create the Job and its scripts; its name changes with whatever it does, so that a change runs it again.

    The ConfigMap's key `topics` has the declared topics.
    """
    metadata_labels = labels("kafka", "topics", version(spec))
    environment = _environment(spec, servers)
    data = {name: (FILES / name).read_text() for name in _SCRIPTS}
    data |= {"topics": declared(spec), "acls": acls(clients)}
    known = {
        **data,
        **environment,
        "protocol": access.protocol,
        "image": image(spec),
        "resources": spec.job_resources.model_dump_json(),
    }
    identity = pulumi.Output.from_input(access.users_hash).apply(
        lambda users: config_hash({**known, "users": users or ""})
    )
    config_map = k8s.core.v1.ConfigMap(
        "kafka-topics",
        metadata=metadata("kafka-topics", namespace, metadata_labels),
        data=data,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    tmp, tmp_mount = scratch()
    files, files_mount = config(config_map.metadata.name)
    tls, tls_mounts = access.tls_files("ca.crt")
    auth, auth_mounts = access.auth_files(USERS_KEY)

    def container(name: str) -> k8s.core.v1.ContainerArgs:
        return k8s.core.v1.ContainerArgs(
            name=name,
            image=image(spec),
            command=["/bin/sh", f"{CONFIG_DIR}/{name}.sh"],
            env=[
                *variables(environment),
                *access.variables(OPERATOR_PASSWORD="operator-password"),
                *variables({"KAFKA_HEAP_OPTS": heap(spec.job_resources)}),
            ],
            resources=resource_requirements(spec.job_resources),
            volume_mounts=[files_mount, tmp_mount, *tls_mounts, *auth_mounts],
            # What it says last is the reason that the engine and kubectl show.
            termination_message_policy="FallbackToLogsOnError",
        )

    # One after the other. Users first: a topic that is refused shuts nobody out.
    *first, last = [*(["users"] if spec.secured else []), *(["topics"] if spec.topics else [])]
    pod = secure_pod(
        [container(last)],
        user=KAFKA.user,
        restart_policy="Never",
        init_containers=[container(name) for name in first],
        volumes=[files, tmp, *tls, *auth],
    )
    return job(
        "kafka-topics",
        namespace=namespace,
        labels=metadata_labels,
        identity=identity,
        pod=pod,
        # For the image, and for both scripts one after the other.
        deadline_minutes=25,
        parent=parent,
        depends_on=depends_on,
    )


def _environment(spec: KafkaSettings, servers: str) -> dict[str, str]:
    return {
        "KAFKA_HOME": KAFKA_HOME,
        "CONFIG_DIR": CONFIG_DIR,
        "AUTH_DIR": AUTH_DIR,
        "BOOTSTRAP_SERVERS": servers,
        "REPLICATION_FACTOR": str(spec.replication_factor),
        "MIN_INSYNC_REPLICAS": str(spec.min_insync_replicas),
        "TIMEOUT_SECONDS": str(_TIMEOUT_SECONDS),
        "LOG_DIR": "/tmp",
        # The tools run for seconds: starting fast is all that counts. The first writes down the classes that it loaded,
        # which saves the others a third of their time; Java before 19 cannot.
        "KAFKA_JVM_PERFORMANCE_OPTS": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:+IgnoreUnrecognizedVMOptions "
        "-XX:+AutoCreateSharedArchive -XX:SharedArchiveFile=/tmp/tools.jsa",
    }
