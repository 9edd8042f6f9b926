"""The keeper, which joins the nodes of a Redis Cluster and heals them (docs/adr/0007)."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as k8s

from components.context import Context
from components.labels import labels
from components.pods import config_hash, empty_dir, read_only_mount, resource_requirements, secure_pod, variables
from components.workloads import deployment, template
from manifests.labels import CONFIG_HASH
from settings import RedisSettings

from .common import (
    CONFIG_DIR,
    ENGINES,
    KEEPER,
    PORT,
    TIMEOUTS,
    TLS_DIR,
    Sources,
    authority,
    client_variables,
    config_files,
    image,
    node_domain,
    object_metadata,
    probe,
    read,
    version,
)

CONFIG_FILES = read("client.sh", "keep.sh", "plan.awk")
_STATE_DIR = "/run/keeper"


def keeper(
    spec: RedisSettings,
    context: Context,
    *,
    sources: Sources,
    parent: pulumi.Resource,
    depends_on: Sequence[pulumi.Resource],
) -> k8s.apps.v1.Deployment:
    """Create the keeper; it is ready while the cluster is whole."""
    return deployment(
        "redis-keeper",
        object_metadata("redis-keeper", spec, context.namespaces.data, "keeper"),
        KEEPER,
        _template(spec, node_domain(context), sources),
        # Never two at once: each would run what the other has just run.
        alone=True,
        # Its readiness is the cluster's: as long as an update of the nodes may take.
        progress_deadline_seconds=30 * 60,
        # Not after the nodes: those of kept claims become ready only once the keeper has healed them.
        opts=pulumi.ResourceOptions(parent=parent, depends_on=depends_on, custom_timeouts=TIMEOUTS),
    )


def _template(spec: RedisSettings, domain: str, sources: Sources) -> k8s.core.v1.PodTemplateSpecArgs:
    plain = {
        "REDIS_NODES": " ".join(f"redis-{ordinal}.{domain}:{PORT}" for ordinal in range(spec.nodes)),
        "REDIS_SHARDS": str(spec.shards),
        "STATE_DIR": _STATE_DIR,
    }
    keeper = k8s.core.v1.ContainerArgs(
        name="keeper",
        image=image(spec),
        args=["sh", f"{CONFIG_DIR}/keep.sh"],
        env=[*variables(plain), *client_variables(spec, sources)],
        readiness_probe=probe(["test", "-f", f"{_STATE_DIR}/ready"], period=5, failures=1),
        # A step takes 3 s at most.
        liveness_probe=probe(["sh", "-c", f'test -n "$(find {_STATE_DIR}/alive -mmin -1)"'], period=20, failures=3),
        resources=resource_requirements(spec.keeper_resources),
        volume_mounts=[
            read_only_mount("config", CONFIG_DIR),
            *([read_only_mount("authority", TLS_DIR)] if sources.certificates else []),
            k8s.core.v1.VolumeMountArgs(name="state", mount_path=_STATE_DIR),
        ],
    )
    pod = secure_pod(
        [keeper],
        user=ENGINES[spec.engine].user,
        # It may be killed at any point.
        grace_seconds=5,
        volumes=[config_files(sources, CONFIG_FILES), *authority(sources), empty_dir("state", "1Mi")],
    )
    annotations = {CONFIG_HASH: config_hash(CONFIG_FILES)}
    return template(pod, labels("redis", "keeper", version(spec)), annotations)
