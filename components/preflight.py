"""The preflight of an external service: a Job that tries it as agents will, before they roll."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s

from components.connection import Connection, mounted_files
from components.context import Namespace
from components.jobs import job
from components.labels import labels, selector
from components.network import network_policy
from components.pods import (
    config_hash,
    empty_dir,
    read_only_mount,
    resource_requirements,
    secret_variable,
    secure_pod,
    variables,
)
from components.workloads import metadata
from settings import Resources
from settings.types import image_tag

_SCRIPT_DIR = "/etc/preflight"


@dataclass(frozen=True)
class Attempt:
    """How one kind of service is tried."""

    service: str
    """The name of the program: `redis`, `kafka`."""
    script: Path
    """Ends with 0, or with another code after a line for each mistake."""
    image: str
    user: int
    resources: Resources
    environment: Mapping[str, str] = field(default_factory=dict)
    """What the script reads beside what agents get."""


class Preflight(pulumi.ComponentResource):
    """A Job `SERVICE-preflight-HASH` that runs once for whatever it tries: a change of that makes another Job.

    It gets what agents get from `connection`, and may reach no more. An agent whose connection is `ready` only after it
    does not roll while it fails; the engine then shows what its script said, and the next `up` runs it again.
    """

    def __init__(
        self,
        name: str,
        connection: Connection,
        attempt: Attempt,
        *,
        namespace: Namespace,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("agentstack:data:Preflight", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        object_name = f"{attempt.service}-preflight"
        pod_labels = selector(attempt.service, "preflight")
        metadata_labels = labels(attempt.service, "preflight", image_tag(attempt.image))
        script = k8s.core.v1.ConfigMap(
            object_name,
            metadata=metadata(object_name, namespace, metadata_labels),
            data={attempt.script.name: attempt.script.read_text()},
            opts=child,
        )
        policy = network_policy(
            object_name, namespace=namespace.ref, pod_labels=pod_labels, egress=connection.egress, opts=child
        )
        job(
            object_name,
            namespace=namespace,
            labels=metadata_labels,
            identity=_identity(connection, attempt),
            pod=_pod(connection, attempt, script.metadata.name),
            deadline_minutes=5,
            parent=self,
            depends_on=[script, policy],
        )
        self.register_outputs({})


def _identity(connection: Connection, attempt: Attempt) -> str:
    """A hash of everything that the result depends on, except for what is in Secrets."""
    agents = (connection.environment, connection.secrets, connection.files, connection.egress)
    own = (attempt.image, attempt.resources, attempt.environment)
    return config_hash({"agents": repr(agents), "own": repr(own), "script": attempt.script.read_text()})


def _pod(connection: Connection, attempt: Attempt, script: pulumi.Input[str]) -> k8s.core.v1.PodSpecArgs:
    paths, volumes, mounts = mounted_files([connection])
    plain = {**connection.environment, **paths, **attempt.environment}
    container = k8s.core.v1.ContainerArgs(
        name="preflight",
        image=attempt.image,
        command=["/bin/sh", f"{_SCRIPT_DIR}/{attempt.script.name}"],
        env=[
            *variables(plain),
            *(secret_variable(key, ref.name, ref.key) for key, ref in connection.secrets.items()),
        ],
        # What it says last is the reason that the engine and kubectl show.
        termination_message_policy="FallbackToLogsOnError",
        resources=resource_requirements(attempt.resources),
        volume_mounts=[
            read_only_mount("script", _SCRIPT_DIR),
            k8s.core.v1.VolumeMountArgs(name="tmp", mount_path="/tmp"),
            *mounts,
        ],
    )
    return secure_pod(
        [container],
        user=attempt.user,
        restart_policy="Never",
        volumes=[
            k8s.core.v1.VolumeArgs(name="script", config_map=k8s.core.v1.ConfigMapVolumeSourceArgs(name=script)),
            empty_dir("tmp", "128Mi"),
            *volumes,
        ],
    )
