"""The pods of a Redis Cluster: the nodes, and the keeper that joins and heals them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pulumi
import pulumi_kubernetes as k8s

from components.labels import labels, selector
from components.pods import (
    config_hash,
    empty_dir,
    field_variable,
    read_only_mount,
    resource_requirements,
    scrape_annotations,
    secret_files,
    secret_variable,
    secure_pod,
    spread,
    variables,
)
from components.versions import REDIS, REDIS_EXPORTER, VALKEY
from components.workloads import template
from manifests.labels import CONFIG_HASH
from settings import RedisSettings
from settings.types import image_tag

from .users import EXPORTER, OPERATOR

PORT, BUS_PORT, METRICS_PORT = 6379, 16379, 9121
NODE = selector("redis", "state")
KEEPER = selector("redis", "keeper")

_ROOM = Path(__file__).parent
_NODE_FILES = {
    file: (_ROOM / file).read_text() for file in ("redis.conf", "client.sh", "live.sh", "ready.sh", "leave.sh")
}
_KEEPER_FILES = {file: (_ROOM / file).read_text() for file in ("client.sh", "keep.sh", "plan.awk")}
FILES = {**_NODE_FILES, **_KEEPER_FILES}
"""Configuration and scripts: the data of the ConfigMap."""
TLS_DIR = "/etc/redis-tls"
_CONFIG_DIR, _AUTH_DIR, _STATE_DIR = "/etc/redis", "/etc/redis-auth", "/run/keeper"
_SECRET_MODE = 0o440
"""For the pod's user and group alone."""
_ENGINES = {"redis": REDIS, "valkey": VALKEY}

ACL_FILE, REPLICATION_FILE = "users.acl", "replication.conf"
OPERATOR_PASSWORD, EXPORTER_PASSWORD = "operator-password", "exporter-password"
"""The keys of the Secret `redis-auth`."""


class Sources(NamedTuple):
    """The names of the objects that the pods read."""

    config: pulumi.Input[str]
    """The ConfigMap with the scripts."""
    auth: pulumi.Input[str]
    """The Secret with the ACL file, the configuration of replication, and passwords."""
    certificates: str | None
    """The Secret with `tls.crt`, `tls.key` and `ca.crt`; None without TLS."""


def image_of(spec: RedisSettings) -> str:
    """Return the image of all Redis containers."""
    return spec.image or _ENGINES[spec.engine].reference


def node_template(spec: RedisSettings, headless_domain: str, sources: Sources) -> k8s.core.v1.PodTemplateSpecArgs:
    """Return the template of a node, which announces itself under `headless_domain`."""
    pod = secure_pod(
        [_redis(spec, headless_domain, sources), _exporter(spec, sources)],
        user=_ENGINES[spec.engine].user,
        owns_volumes=True,
        # Time to hand mastership over (leave.sh), to let replicas catch up (shutdown-timeout, 10 s) and to write the
        # append-only file out.
        grace_seconds=60,
        spread_constraints=spread(NODE),
        volumes=[
            _config_files(sources, _NODE_FILES),
            secret_files("auth", sources.auth, (ACL_FILE, REPLICATION_FILE), _SECRET_MODE),
            *(
                [secret_files("certificates", sources.certificates, ("ca.crt", "tls.crt", "tls.key"), _SECRET_MODE)]
                if sources.certificates
                else []
            ),
            *_authority(sources),
        ],
    )
    annotations = {**scrape_annotations(METRICS_PORT), CONFIG_HASH: config_hash(_NODE_FILES)}
    return template(pod, labels("redis", "state", image_tag(image_of(spec))), annotations)


def _redis(spec: RedisSettings, headless_domain: str, sources: Sources) -> k8s.core.v1.ContainerArgs:
    options = {
        "include": f"{_AUTH_DIR}/{REPLICATION_FILE}",
        "aclfile": f"{_AUTH_DIR}/{ACL_FILE}",
        "dir": "/data",
        "cluster-announce-ip": "$(POD_IP)",
        "cluster-announce-hostname": f"$(POD_NAME).{headless_domain}",
        # By which the keeper sees which nodes share a Kubernetes node.
        "cluster-announce-human-nodename": "$(NODE_NAME)",
        # The rest of the limit is for the copied pages of a rewrite, for replication and for client buffers.
        "maxmemory": str(int(spec.resources.limits.memory.amount * 65 / 100)),
        "min-replicas-to-write": "1" if spec.replicas_per_shard >= 2 else "0",
    }
    if sources.certificates:
        options |= {
            "port": "0",
            "tls-port": str(PORT),
            "tls-cert-file": f"{TLS_DIR}/tls.crt",
            "tls-key-file": f"{TLS_DIR}/tls.key",
            "tls-ca-cert-file": f"{TLS_DIR}/ca.crt",
            "tls-replication": "yes",
            # The bus demands a certificate of every node, whatever the next line says.
            "tls-cluster": "yes",
            # Clients prove who they are by their passwords.
            "tls-auth-clients": "no",
        }
    return k8s.core.v1.ContainerArgs(
        name="redis",
        image=image_of(spec),
        # Not `command`: the image's entrypoint loads the modules of Redis 8.
        args=[
            f"{spec.engine}-server",
            f"{_CONFIG_DIR}/redis.conf",
            *(argument for key, value in options.items() for argument in (f"--{key}", value)),
        ],
        env=[
            field_variable("POD_NAME", "metadata.name"),
            field_variable("POD_IP", "status.podIP"),
            field_variable("NODE_NAME", "spec.nodeName"),
            *client_variables(spec, sources),
        ],
        ports=[
            k8s.core.v1.ContainerPortArgs(name="redis", container_port=PORT),
            k8s.core.v1.ContainerPortArgs(name="bus", container_port=BUS_PORT),
        ],
        startup_probe=_probe(["sh", f"{_CONFIG_DIR}/live.sh"], period=2, failures=60),
        liveness_probe=_probe(["sh", f"{_CONFIG_DIR}/live.sh"], period=10, failures=6),
        readiness_probe=_probe(["sh", f"{_CONFIG_DIR}/ready.sh"], period=5, failures=2),
        lifecycle=k8s.core.v1.LifecycleArgs(
            pre_stop=k8s.core.v1.LifecycleHandlerArgs(
                exec_=k8s.core.v1.ExecActionArgs(command=["sh", f"{_CONFIG_DIR}/leave.sh"])
            )
        ),
        resources=resource_requirements(spec.resources),
        volume_mounts=[
            k8s.core.v1.VolumeMountArgs(name="data", mount_path="/data"),
            read_only_mount("config", _CONFIG_DIR),
            read_only_mount("auth", _AUTH_DIR),
            *([read_only_mount("certificates", TLS_DIR)] if sources.certificates else []),
        ],
    )


def _exporter(spec: RedisSettings, sources: Sources) -> k8s.core.v1.ContainerArgs:
    health = k8s.core.v1.HTTPGetActionArgs(path="/health", port="metrics")
    plain = {
        "REDIS_ADDR": f"{'rediss' if sources.certificates else 'redis'}://localhost:{PORT}",
        "REDIS_USER": EXPORTER,
        # No CONFIG GET, which its user may not run.
        "REDIS_EXPORTER_CONFIG_COMMAND": "-",
        **({"REDIS_EXPORTER_TLS_CA_CERT_FILE": f"{TLS_DIR}/ca.crt"} if sources.certificates else {}),
    }
    return k8s.core.v1.ContainerArgs(
        name="exporter",
        image=REDIS_EXPORTER.reference,
        env=[*variables(plain), secret_variable("REDIS_PASSWORD", sources.auth, EXPORTER_PASSWORD)],
        ports=[k8s.core.v1.ContainerPortArgs(name="metrics", container_port=METRICS_PORT)],
        liveness_probe=k8s.core.v1.ProbeArgs(http_get=health, period_seconds=20, timeout_seconds=5),
        readiness_probe=k8s.core.v1.ProbeArgs(http_get=health, period_seconds=10, timeout_seconds=5),
        resources=resource_requirements(spec.exporter_resources),
        volume_mounts=[read_only_mount("authority", TLS_DIR)] if sources.certificates else None,
    )


def keeper_template(spec: RedisSettings, headless_domain: str, sources: Sources) -> k8s.core.v1.PodTemplateSpecArgs:
    """Return the template of the pod that joins and heals the nodes; it is ready while the cluster is whole.

    The arguments are those of `node_template`.
    """
    plain = {
        "REDIS_NODES": " ".join(f"redis-{ordinal}.{headless_domain}:{PORT}" for ordinal in range(spec.nodes)),
        "REDIS_SHARDS": str(spec.shards),
        "STATE_DIR": _STATE_DIR,
    }
    keeper = k8s.core.v1.ContainerArgs(
        name="keeper",
        image=image_of(spec),
        args=["sh", f"{_CONFIG_DIR}/keep.sh"],
        env=[*variables(plain), *client_variables(spec, sources)],
        readiness_probe=_probe(["test", "-f", f"{_STATE_DIR}/ready"], period=5, failures=1),
        # A step takes 3 s at most.
        liveness_probe=_probe(["sh", "-c", f'test -n "$(find {_STATE_DIR}/alive -mmin -1)"'], period=20, failures=3),
        resources=resource_requirements(spec.keeper_resources),
        volume_mounts=[
            read_only_mount("config", _CONFIG_DIR),
            *([read_only_mount("authority", TLS_DIR)] if sources.certificates else []),
            k8s.core.v1.VolumeMountArgs(name="state", mount_path=_STATE_DIR),
        ],
    )
    pod = secure_pod(
        [keeper],
        user=_ENGINES[spec.engine].user,
        # It may be killed at any point.
        grace_seconds=5,
        volumes=[_config_files(sources, _KEEPER_FILES), *_authority(sources), empty_dir("state", "1Mi")],
    )
    annotations = {CONFIG_HASH: config_hash(_KEEPER_FILES)}
    return template(pod, labels("redis", "keeper", image_tag(image_of(spec))), annotations)


def client_variables(spec: RedisSettings, sources: Sources) -> list[k8s.core.v1.EnvVarArgs]:
    """What client.sh needs to speak to a node."""
    plain = {
        "REDIS_CLI": f"{spec.engine}-cli",
        "REDIS_USER": OPERATOR,
        **({"REDIS_TLS_DIR": TLS_DIR} if sources.certificates else {}),
    }
    return [*variables(plain), secret_variable("REDISCLI_AUTH", sources.auth, OPERATOR_PASSWORD)]


def _probe(command: list[str], *, period: int, failures: int) -> k8s.core.v1.ProbeArgs:
    return k8s.core.v1.ProbeArgs(
        exec_=k8s.core.v1.ExecActionArgs(command=command),
        period_seconds=period,
        timeout_seconds=5,
        failure_threshold=failures,
    )


def _authority(sources: Sources) -> list[k8s.core.v1.VolumeArgs]:
    """What clients need of the certificates, which is no secret."""
    return [secret_files("authority", sources.certificates, ("ca.crt",), mode=0o444)] if sources.certificates else []


def _config_files(sources: Sources, files: Iterable[str]) -> k8s.core.v1.VolumeArgs:
    items = [k8s.core.v1.KeyToPathArgs(key=file, path=file) for file in files]
    source = k8s.core.v1.ConfigMapVolumeSourceArgs(name=sources.config, items=items)
    return k8s.core.v1.VolumeArgs(name="config", config_map=source)
