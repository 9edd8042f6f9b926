"""One role of Kafka nodes: a StatefulSet, the Service of its pods' names, and its disruption budget."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.context import Context
from components.labels import labels
from components.pods import (
    config_hash,
    field_variable,
    resource_requirements,
    secure_pod,
    spread,
    variables,
)
from components.versions import KAFKA
from components.workloads import claim_retention, disruption_budget, metadata, stateful_set, template
from manifests.labels import CONFIG_HASH
from settings import KafkaSettings, Memory, Resources

from .common import (
    BROKER,
    BROKER_PORT,
    CONFIG_DIR,
    CONTROLLER,
    CONTROLLER_PORT,
    FILES,
    KAFKA_HOME,
    TIMEOUTS,
    ZONE_FIELD,
    config,
    heap,
    image,
    scratch,
    version,
)
from .users import Access

CONFIG_FILES = {
    name: (FILES / name).read_text()
    for name in ("server.properties", "log4j2.properties", "start.sh", "client.sh", "renew.sh", "stop.sh")
}
CLUSTER_ID_KEY = "cluster-id"
_PORTS = {"broker": BROKER_PORT, "controller": CONTROLLER_PORT}

# The very path of a VOLUME of the image: above it, the runtime would put a volume of its own there, gone with the pod.
DATA_DIR = "/var/lib/kafka/data"

_WAIT_TO_STOP = 300
"""How many seconds a broker waits at most for other copies to be in sync before it ends."""
_CONTROLLED_SHUTDOWN = 120
"""How many seconds it then has to hand over the leadership of its partitions and to close its logs."""


@dataclass(frozen=True)
class NodeRole:
    """The nodes of one StatefulSet; the first of `processes` names them."""

    name: str
    """The StatefulSet's name."""
    hosts: str
    """The name of the Service that gives each pod a host name."""
    service_domain: str
    """The DNS domain of the namespace's Services."""
    processes: tuple[str, ...]
    """Kafka's `process.roles`: broker, controller or both."""
    first_id: int
    """The node id of the pod with ordinal 0."""
    replicas: int
    resources: Resources
    storage: Memory

    @property
    def selector(self) -> dict[str, str]:
        """The labels that select its pods."""
        return BROKER if self.is_broker else CONTROLLER

    @property
    def is_broker(self) -> bool:
        """Whether its nodes hold topics."""
        return "broker" in self.processes

    @property
    def ports(self) -> dict[str, int]:
        """The port of each of its listeners, by process."""
        return {process: _PORTS[process] for process in self.processes}

    @property
    def domain(self) -> str:
        """The DNS domain of its pods."""
        return f"{self.hosts}.{self.service_domain}"

    @property
    def voters(self) -> str:
        """Its nodes as `controller.quorum.voters`."""
        return ",".join(
            f"{self.first_id + ordinal}@{self.name}-{ordinal}.{self.domain}:{CONTROLLER_PORT}"
            for ordinal in range(self.replicas)
        )


def nodes(
    role: NodeRole,
    spec: KafkaSettings,
    context: Context,
    *,
    access: Access,
    servers: str,
    voters: str,
    config_map: pulumi.Input[str],
    parent: pulumi.Resource,
) -> k8s.apps.v1.StatefulSet:
    """Create everything of one role; the StatefulSet is ready when each of its nodes accepts connections."""
    child = pulumi.ResourceOptions(parent=parent)
    namespace, protect = context.namespaces.data, context.protect
    metadata_labels = labels("kafka", role.processes[0], version(spec))
    service = k8s.core.v1.Service(
        role.hosts,
        metadata=metadata(role.hosts, namespace, metadata_labels),
        spec=k8s.core.v1.ServiceSpecArgs(
            cluster_ip="None",
            # Nodes find each other by name before any of them is ready.
            publish_not_ready_addresses=True,
            selector=role.selector,
            ports=[k8s.core.v1.ServicePortArgs(name=name, port=port) for name, port in role.ports.items()],
        ),
        opts=child,
    )
    own = metadata(role.name, namespace, metadata_labels)
    disruption_budget(role.name, own, role.selector, child)
    pod = _pod(role, spec, access, servers, voters, config_map)
    return stateful_set(
        role.name,
        own,
        role.selector,
        template(pod, metadata_labels, {CONFIG_HASH: config_hash(CONFIG_FILES)}),
        replicas=role.replicas,
        service=service,
        storage=str(role.storage),
        storage_class=context.storage_class,
        protect=protect,
        claim_labels=role.selector,
        claim_retention=claim_retention(deleted=protect, scaled=True),
        # One at a time never gets a quorum: the first waits for the others.
        parallel=True,
        # A controller listens before it has read what it missed: that takes it a moment.
        min_ready_seconds=None if role.is_broker else 10,
        timeouts=TIMEOUTS,
        parent=parent,
        depends_on=access.resources,
    )


def _pod(
    role: NodeRole,
    spec: KafkaSettings,
    access: Access,
    servers: str,
    voters: str,
    config_map: pulumi.Input[str],
) -> k8s.core.v1.PodSpecArgs:
    tmp, tmp_mount = scratch()
    files, files_mount = config(config_map)
    tls, tls_mounts = access.tls_files("tls.crt", "tls.key", "ca.crt")
    waits = _waits(role, spec)
    probe = k8s.core.v1.TCPSocketActionArgs(port=role.processes[0])
    container = k8s.core.v1.ContainerArgs(
        name="kafka",
        image=image(spec),
        # A command, not arguments: the image's own entrypoint derives its configuration from every KAFKA_ variable.
        command=["/bin/sh", f"{CONFIG_DIR}/start.sh"],
        env=_environment(role, spec, access, servers, voters, config_map),
        ports=[k8s.core.v1.ContainerPortArgs(name=name, container_port=port) for name, port in role.ports.items()],
        resources=resource_requirements(role.resources),
        volume_mounts=[
            k8s.core.v1.VolumeMountArgs(name="data", mount_path=DATA_DIR),
            files_mount,
            tmp_mount,
            *tls_mounts,
        ],
        # Kafka accepts connections after it recovered its logs: after a crash that takes a large broker long.
        startup_probe=k8s.core.v1.ProbeArgs(tcp_socket=probe, period_seconds=5, failure_threshold=720),
        readiness_probe=k8s.core.v1.ProbeArgs(tcp_socket=probe, period_seconds=5, timeout_seconds=3),
        liveness_probe=k8s.core.v1.ProbeArgs(
            tcp_socket=probe, period_seconds=10, timeout_seconds=5, failure_threshold=6
        ),
        # An open port does not say that a restarted broker is in sync again. So the next one asks before it ends, which
        # holds for rolling updates, drains and a person's `kubectl delete pod` alike.
        lifecycle=k8s.core.v1.LifecycleArgs(
            pre_stop=k8s.core.v1.LifecycleHandlerArgs(
                exec_=k8s.core.v1.ExecActionArgs(command=["/bin/sh", f"{CONFIG_DIR}/stop.sh"])
            )
        )
        if waits
        else None,
    )
    return secure_pod(
        [container],
        user=KAFKA.user,
        owns_volumes=True,
        grace_seconds=_CONTROLLED_SHUTDOWN + (_WAIT_TO_STOP if waits else 0),
        spread_constraints=spread(role.selector),
        volumes=[files, tmp, *tls],
    )


def _waits(role: NodeRole, spec: KafkaSettings) -> bool:
    """Whether its nodes wait for other copies before they end: where there is one of everything, there are none."""
    return role.is_broker and spec.replication_factor > 1


def _environment(
    role: NodeRole,
    spec: KafkaSettings,
    access: Access,
    servers: str,
    voters: str,
    config_map: pulumi.Input[str],
) -> list[k8s.core.v1.EnvVarArgs]:
    """What start.sh and stop.sh read, and Kafka's own scripts."""
    host = f"$(POD_NAME).{role.domain}"
    return [
        field_variable("POD_NAME", "metadata.name"),
        *variables({"KAFKA_HOME": KAFKA_HOME, "CONFIG_DIR": CONFIG_DIR, "DATA_DIR": DATA_DIR}),
        # By reference: policies judge plain values, and a new stack's preview does not know this one yet.
        k8s.core.v1.EnvVarArgs(
            name="CLUSTER_ID",
            value_from=k8s.core.v1.EnvVarSourceArgs(
                config_map_key_ref=k8s.core.v1.ConfigMapKeySelectorArgs(name=config_map, key=CLUSTER_ID_KEY)
            ),
        ),
        *variables(
            {
                "FIRST_NODE_ID": str(role.first_id),
                "PROCESS_ROLES": ",".join(role.processes),
                "LISTENERS": ",".join(f"{name.upper()}://:{port}" for name, port in role.ports.items()),
                "ADVERTISED_LISTENERS": ",".join(
                    f"{name.upper()}://{host}:{port}" for name, port in role.ports.items()
                ),
                "CONTROLLER_QUORUM_VOTERS": voters,
                "REPLICATION_FACTOR": str(spec.replication_factor),
                "MIN_INSYNC_REPLICAS": str(spec.min_insync_replicas),
            }
        ),
        field_variable("ZONE", ZONE_FIELD),
        # For stop.sh; a controller may not connect to brokers, and has no reason to.
        *variables({"BOOTSTRAP_SERVERS": servers} if role.is_broker else {}),
        *access.variables(BROKER_PASSWORD="broker-password", OPERATOR_PASSWORD="operator-password"),
        *variables(
            {
                **({"WAIT_SECONDS": str(_WAIT_TO_STOP)} if _waits(role, spec) else {}),
                "KAFKA_HEAP_OPTS": heap(role.resources),
                "KAFKA_LOG4J_OPTS": f"-Dlog4j2.configurationFile={CONFIG_DIR}/log4j2.properties",
                # Kafka's script makes this folder in any case, and by default inside its own installation.
                "LOG_DIR": "/tmp",
                # Without the `-loggc` of Kafka's default: garbage collection logs of up to a gigabyte.
                "EXTRA_ARGS": "-name kafkaServer",
            }
        ),
    ]
