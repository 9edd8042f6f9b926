"""The nodes of a Redis Cluster: a StatefulSet, its Services, and its disruption budget."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as k8s

from components.context import Context
from components.labels import labels
from components.pods import (
    config_hash,
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
from components.versions import REDIS_EXPORTER
from components.workloads import claim_retention, disruption_budget, service, stateful_set, template
from manifests.labels import CONFIG_HASH
from settings import RedisSettings

from .common import (
    ACL_FILE,
    BUS_PORT,
    CONFIG_DIR,
    ENGINES,
    EXPORTER_PASSWORD,
    NODE,
    PORT,
    REPLICATION_FILE,
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
from .part import METRICS_PORT
from .users import EXPORTER

CONFIG_FILES = read("redis.conf", "client.sh", "live.sh", "ready.sh", "leave.sh")
_AUTH_DIR = "/etc/redis-auth"
_SECRET_MODE = 0o440
"""For the pod's user and group alone."""


def nodes(
    spec: RedisSettings,
    context: Context,
    *,
    sources: Sources,
    parent: pulumi.Resource,
    depends_on: Sequence[pulumi.Resource],
) -> None:
    """Create the nodes."""
    child = pulumi.ResourceOptions(parent=parent)
    own = object_metadata("redis", spec, context.namespaces.data)
    # The keeper needs the names of nodes that are not ready: those it heals.
    headless = service(
        "redis-headless",
        object_metadata("redis-headless", spec, context.namespaces.data),
        NODE,
        {"redis": PORT, "bus": BUS_PORT},
        headless=True,
        opts=child,
    )
    service("redis", own, NODE, {"redis": PORT}, opts=child)
    disruption_budget("redis", own, NODE, child)
    stateful_set(
        "redis",
        own,
        NODE,
        _template(spec, node_domain(context), sources),
        replicas=spec.nodes,
        service=headless,
        storage=str(spec.storage),
        storage_class=context.storage_class,
        protect=context.protect,
        claim_labels=NODE,
        claim_retention=claim_retention(deleted=context.protect, scaled=True),
        parallel=True,
        update_strategy=k8s.apps.v1.StatefulSetUpdateStrategyArgs(type="RollingUpdate"),
        timeouts=TIMEOUTS,
        parent=parent,
        depends_on=depends_on,
    )


def _template(spec: RedisSettings, domain: str, sources: Sources) -> k8s.core.v1.PodTemplateSpecArgs:
    pod = secure_pod(
        [_redis(spec, domain, sources), _exporter(spec, sources)],
        user=ENGINES[spec.engine].user,
        owns_volumes=True,
        # Time to hand mastership over (leave.sh), to let replicas catch up (shutdown-timeout, 10 s) and to write the
        # append-only file out.
        grace_seconds=60,
        spread_constraints=spread(NODE),
        volumes=[
            config_files(sources, CONFIG_FILES),
            secret_files("auth", sources.auth, (ACL_FILE, REPLICATION_FILE), _SECRET_MODE),
            *(
                [secret_files("certificates", sources.certificates, ("ca.crt", "tls.crt", "tls.key"), _SECRET_MODE)]
                if sources.certificates
                else []
            ),
            *authority(sources),
        ],
    )
    annotations = {**scrape_annotations(METRICS_PORT), CONFIG_HASH: config_hash(CONFIG_FILES)}
    return template(pod, labels("redis", "state", version(spec)), annotations)


def _redis(spec: RedisSettings, domain: str, sources: Sources) -> k8s.core.v1.ContainerArgs:
    options = {
        "include": f"{_AUTH_DIR}/{REPLICATION_FILE}",
        "aclfile": f"{_AUTH_DIR}/{ACL_FILE}",
        "dir": "/data",
        "cluster-announce-ip": "$(POD_IP)",
        "cluster-announce-hostname": f"$(POD_NAME).{domain}",
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
        image=image(spec),
        # Not `command`: the image's entrypoint loads the modules of Redis 8.
        args=[
            f"{spec.engine}-server",
            f"{CONFIG_DIR}/redis.conf",
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
        startup_probe=probe(["sh", f"{CONFIG_DIR}/live.sh"], period=2, failures=60),
        liveness_probe=probe(["sh", f"{CONFIG_DIR}/live.sh"], period=10, failures=6),
        readiness_probe=probe(["sh", f"{CONFIG_DIR}/ready.sh"], period=5, failures=2),
        lifecycle=k8s.core.v1.LifecycleArgs(
            pre_stop=k8s.core.v1.LifecycleHandlerArgs(
                exec_=k8s.core.v1.ExecActionArgs(command=["sh", f"{CONFIG_DIR}/leave.sh"])
            )
        ),
        resources=resource_requirements(spec.resources),
        volume_mounts=[
            k8s.core.v1.VolumeMountArgs(name="data", mount_path="/data"),
            read_only_mount("config", CONFIG_DIR),
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
