"""The pods of a Redis Cluster: the nodes, and the keeper that joins and heals them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s

from components.labels import labels, selector
from components.pods import (
    CONFIG_HASH,
    config_hash,
    container_security,
    pod_security,
    resource_requirements,
    scrape_annotations,
    spread,
)
from components.versions import REDIS, REDIS_EXPORTER
from settings import RedisSettings
from settings.types import image_tag

PORT, BUS_PORT, METRICS_PORT = 6379, 16379, 9121
NODE = selector("redis", "state")
KEEPER = selector("redis", "keeper")

_ROOM = Path(__file__).parent
_NODE_FILES = {file: (_ROOM / file).read_text() for file in ("redis.conf", "live.sh", "ready.sh")}
_KEEPER_FILES = {file: (_ROOM / file).read_text() for file in ("keep.sh", "plan.awk")}
FILES = {**_NODE_FILES, **_KEEPER_FILES}
"""Configuration and scripts: the data of the ConfigMap."""
_CONFIG_DIR, _AUTH_DIR, _STATE_DIR = "/etc/redis", "/etc/redis-auth", "/run/keeper"


def image_of(spec: RedisSettings) -> str:
    """Return the image of all Redis containers."""
    return spec.image or REDIS.reference


def node_template(
    spec: RedisSettings, headless_domain: str, config: pulumi.Input[str], auth: pulumi.Input[str]
) -> k8s.core.v1.PodTemplateSpecArgs:
    """Return the template of a node, which announces itself under `headless_domain`.

    `config` names the ConfigMap with `FILES`, `auth` the Secret with `password` and `auth.conf`.
    """
    return k8s.core.v1.PodTemplateSpecArgs(
        metadata=k8s.meta.v1.ObjectMetaArgs(
            labels=labels("redis", "state", image_tag(image_of(spec))),
            annotations={**scrape_annotations(METRICS_PORT), CONFIG_HASH: config_hash(_NODE_FILES)},
        ),
        spec=k8s.core.v1.PodSpecArgs(
            enable_service_links=False,
            automount_service_account_token=False,
            security_context=pod_security(REDIS.user, owns_volumes=True),
            # Time to let replicas catch up (shutdown-timeout, 10 s) and to write the append-only file out.
            termination_grace_period_seconds=60,
            topology_spread_constraints=spread(NODE),
            containers=[_redis(spec, headless_domain, auth), _exporter(spec, auth)],
            volumes=[
                _files("config", config, _NODE_FILES),
                k8s.core.v1.VolumeArgs(
                    name="auth",
                    secret=k8s.core.v1.SecretVolumeSourceArgs(
                        secret_name=auth,
                        items=[k8s.core.v1.KeyToPathArgs(key="auth.conf", path="auth.conf")],
                        default_mode=0o440,
                    ),
                ),
            ],
        ),
    )


def _redis(spec: RedisSettings, headless_domain: str, auth: pulumi.Input[str]) -> k8s.core.v1.ContainerArgs:
    options = {
        "include": f"{_AUTH_DIR}/auth.conf",
        "dir": "/data",
        "cluster-announce-ip": "$(POD_IP)",
        "cluster-announce-hostname": f"$(POD_NAME).{headless_domain}",
        # The rest of the limit is for the copied pages of a rewrite, for replication and for client buffers.
        "maxmemory": str(int(spec.resources.limits.memory.amount * 65 / 100)),
        "min-replicas-to-write": "1" if spec.replicas_per_shard >= 2 else "0",
    }
    return k8s.core.v1.ContainerArgs(
        name="redis",
        image=image_of(spec),
        # Not `command`: the image's entrypoint loads the modules of Redis 8.
        args=[
            f"{_CONFIG_DIR}/redis.conf",
            *(argument for key, value in options.items() for argument in (f"--{key}", value)),
        ],
        env=[
            _field_env("POD_NAME", "metadata.name"),
            _field_env("POD_IP", "status.podIP"),
            _password_env("REDISCLI_AUTH", auth),
        ],
        ports=[
            k8s.core.v1.ContainerPortArgs(name="redis", container_port=PORT),
            k8s.core.v1.ContainerPortArgs(name="bus", container_port=BUS_PORT),
        ],
        startup_probe=_probe(["sh", f"{_CONFIG_DIR}/live.sh"], period=2, failures=60),
        liveness_probe=_probe(["sh", f"{_CONFIG_DIR}/live.sh"], period=10, failures=6),
        readiness_probe=_probe(["sh", f"{_CONFIG_DIR}/ready.sh"], period=5, failures=2),
        resources=resource_requirements(spec.resources),
        security_context=container_security(),
        volume_mounts=[
            k8s.core.v1.VolumeMountArgs(name="data", mount_path="/data"),
            k8s.core.v1.VolumeMountArgs(name="config", mount_path=_CONFIG_DIR, read_only=True),
            k8s.core.v1.VolumeMountArgs(name="auth", mount_path=_AUTH_DIR, read_only=True),
        ],
    )


def _exporter(spec: RedisSettings, auth: pulumi.Input[str]) -> k8s.core.v1.ContainerArgs:
    health = k8s.core.v1.HTTPGetActionArgs(path="/health", port="metrics")
    return k8s.core.v1.ContainerArgs(
        name="exporter",
        image=REDIS_EXPORTER.reference,
        env=[
            k8s.core.v1.EnvVarArgs(name="REDIS_ADDR", value=f"redis://localhost:{PORT}"),
            _password_env("REDIS_PASSWORD", auth),
        ],
        ports=[k8s.core.v1.ContainerPortArgs(name="metrics", container_port=METRICS_PORT)],
        liveness_probe=k8s.core.v1.ProbeArgs(http_get=health, period_seconds=20, timeout_seconds=5),
        readiness_probe=k8s.core.v1.ProbeArgs(http_get=health, period_seconds=10, timeout_seconds=5),
        resources=resource_requirements(spec.exporter_resources),
        security_context=container_security(),
    )


def keeper_template(
    spec: RedisSettings, headless_domain: str, config: pulumi.Input[str], auth: pulumi.Input[str]
) -> k8s.core.v1.PodTemplateSpecArgs:
    """Return the template of the pod that joins and heals the nodes; it is ready while the cluster is whole.

    The arguments are those of `node_template`.
    """
    variables = {
        "REDIS_NODES": " ".join(f"redis-{ordinal}.{headless_domain}:{PORT}" for ordinal in range(spec.nodes)),
        "REDIS_SHARDS": str(spec.shards),
        "STATE_DIR": _STATE_DIR,
    }
    return k8s.core.v1.PodTemplateSpecArgs(
        metadata=k8s.meta.v1.ObjectMetaArgs(
            labels=labels("redis", "keeper", image_tag(image_of(spec))),
            annotations={CONFIG_HASH: config_hash(_KEEPER_FILES)},
        ),
        spec=k8s.core.v1.PodSpecArgs(
            enable_service_links=False,
            automount_service_account_token=False,
            security_context=pod_security(REDIS.user),
            # It may be killed at any point.
            termination_grace_period_seconds=5,
            containers=[
                k8s.core.v1.ContainerArgs(
                    name="keeper",
                    image=image_of(spec),
                    args=["sh", f"{_CONFIG_DIR}/keep.sh"],
                    env=[
                        *(k8s.core.v1.EnvVarArgs(name=key, value=value) for key, value in variables.items()),
                        _password_env("REDISCLI_AUTH", auth),
                    ],
                    readiness_probe=_probe(["test", "-f", f"{_STATE_DIR}/ready"], period=5, failures=1),
                    # A step takes 3 s at most.
                    liveness_probe=_probe(
                        ["sh", "-c", f'test -n "$(find {_STATE_DIR}/alive -mmin -1)"'], period=20, failures=3
                    ),
                    resources=resource_requirements(spec.keeper_resources),
                    security_context=container_security(),
                    volume_mounts=[
                        k8s.core.v1.VolumeMountArgs(name="config", mount_path=_CONFIG_DIR, read_only=True),
                        k8s.core.v1.VolumeMountArgs(name="state", mount_path=_STATE_DIR),
                    ],
                )
            ],
            volumes=[
                _files("config", config, _KEEPER_FILES),
                k8s.core.v1.VolumeArgs(name="state", empty_dir=k8s.core.v1.EmptyDirVolumeSourceArgs(size_limit="1Mi")),
            ],
        ),
    )


def _field_env(name: str, path: str) -> k8s.core.v1.EnvVarArgs:
    field = k8s.core.v1.ObjectFieldSelectorArgs(field_path=path)
    return k8s.core.v1.EnvVarArgs(name=name, value_from=k8s.core.v1.EnvVarSourceArgs(field_ref=field))


def _password_env(name: str, auth: pulumi.Input[str]) -> k8s.core.v1.EnvVarArgs:
    key = k8s.core.v1.SecretKeySelectorArgs(name=auth, key="password")
    return k8s.core.v1.EnvVarArgs(name=name, value_from=k8s.core.v1.EnvVarSourceArgs(secret_key_ref=key))


def _probe(command: list[str], *, period: int, failures: int) -> k8s.core.v1.ProbeArgs:
    return k8s.core.v1.ProbeArgs(
        exec_=k8s.core.v1.ExecActionArgs(command=command),
        period_seconds=period,
        timeout_seconds=5,
        failure_threshold=failures,
    )


def _files(name: str, config: pulumi.Input[str], files: Mapping[str, str]) -> k8s.core.v1.VolumeArgs:
    items = [k8s.core.v1.KeyToPathArgs(key=file, path=file) for file in files]
    return k8s.core.v1.VolumeArgs(name=name, config_map=k8s.core.v1.ConfigMapVolumeSourceArgs(name=config, items=items))
