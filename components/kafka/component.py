"""The Kafka cluster: its roles, its topics, its exporter, and who may connect to whom."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random

from components.connection import Connection
from components.kafka.access import access
from components.kafka.client import internal
from components.kafka.common import (
    BOOTSTRAP,
    BROKER,
    BROKER_PORT,
    CLIENT_LABELS,
    CONTROLLER,
    CONTROLLER_PORT,
    EXPORTER,
    TOPICS,
    brokers,
    version,
)
from components.kafka.exporter import exporter
from components.kafka.nodes import CLUSTER_ID_KEY, CONFIG_FILES, Role, nodes
from components.kafka.part import EXPORTER_PORT
from components.kafka.topics import topics_job
from components.labels import labels
from components.namespaces.component import Namespace
from components.network import Edge, Peer, network_policy
from settings import AgentSettings, KafkaSettings


class KafkaCluster(pulumi.ComponentResource):
    """Kafka in KRaft mode: `separate` controllers and brokers, or one `combined` node.

    Agents reach it through `connections`; where some scale by a topic, `keda` asks for their lag. With `protect`, the
    engine refuses to delete the StatefulSets, the cluster id and the passwords of its own users, and the volumes
    outlive them; without, the volumes go when the StatefulSets go. Raises ValueError if the mode is `external`.
    """

    connections: Mapping[str, Connection]
    """How each of `clients` reaches it, by the agent's name."""

    def __init__(
        self,
        name: str,
        spec: KafkaSettings,
        *,
        clients: Mapping[str, AgentSettings],
        namespace: Namespace,
        agents: Namespace,
        prometheus: Peer,
        keda: Peer | None = None,
        cluster_domain: str = "cluster.local",
        storage_class: str | None = None,
        protect: bool = True,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        if spec.mode == "external":
            raise ValueError("kafka.mode is external: there is no cluster to create, call `external` instead")
        super().__init__("agentstack:data:KafkaCluster", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        # 16 random bytes in URL-safe base64 without padding are a Kafka UUID. No keepers: it must never change, since
        # nodes refuse volumes of another cluster.
        cluster_id = random.RandomId(
            "kafka-cluster-id",
            byte_length=16,
            opts=pulumi.ResourceOptions(parent=self, protect=protect, retain_on_delete=protect),
        )
        config_map = k8s.core.v1.ConfigMap(
            "kafka-config",
            metadata=k8s.meta.v1.ObjectMetaArgs(
                name="kafka-config", namespace=namespace.ref, labels=labels("kafka", "config", version(spec))
            ),
            data={**CONFIG_FILES, CLUSTER_ID_KEY: cluster_id.b64_url},
            opts=child,
        )
        asking = keda if any(client.queue and client.queue.topic for client in clients.values()) else None
        policies = _policies(spec, namespace, agents, prometheus, asking, child)
        domain = f"{namespace.name}.svc.{cluster_domain}"
        roles = _roles(spec, domain)
        users = {agent: settings for agent, settings in clients.items() if "kafka" in settings.used_parts}
        # The name by which clients find the brokers, from any namespace.
        host = f"{BOOTSTRAP}.{domain}"
        servers = f"{host}:{BROKER_PORT}"
        granted = access(
            spec,
            clients=users,
            namespace=namespace,
            agents=agents,
            dns_names=[host, *(f"*.{role.domain}" for role in roles)],
            protect=protect,
            parent=self,
        )
        voters = next(role for role in roles if "controller" in role.processes).voters
        sets = [
            nodes(
                role,
                spec,
                access=granted,
                namespace=namespace,
                servers=servers,
                voters=voters,
                config_map=config_map.metadata.name,
                storage_class=storage_class,
                protect=protect,
                parent=self,
            )
            for role in roles
        ]
        bootstrap = k8s.core.v1.Service(
            BOOTSTRAP,
            metadata=k8s.meta.v1.ObjectMetaArgs(
                name=BOOTSTRAP, namespace=namespace.ref, labels=labels("kafka", "broker", version(spec))
            ),
            spec=k8s.core.v1.ServiceSpecArgs(
                selector=BROKER, ports=[k8s.core.v1.ServicePortArgs(name="broker", port=BROKER_PORT)]
            ),
            opts=child,
        )
        cluster = [*sets, bootstrap, *policies]
        ready: tuple[pulumi.Resource, ...] = tuple(sets)
        if spec.has_job:
            job = topics_job(
                spec,
                access=granted,
                clients=users,
                namespace=namespace,
                servers=servers,
                parent=self,
                depends_on=cluster,
            )
            ready = (job,)
        # After the Job, which makes its user.
        exporter(
            spec,
            access=granted,
            namespace=namespace,
            servers=servers,
            parent=self,
            depends_on=[*cluster, *ready],
        )
        self.connections = {agent: internal(agent, granted, namespace, servers, ready) for agent in clients}
        self.register_outputs({})


def _roles(spec: KafkaSettings, service_domain: str) -> list[Role]:
    if spec.mode == "combined":
        return [
            Role(
                name="kafka",
                hosts="kafka-headless",
                service_domain=service_domain,
                processes=("broker", "controller"),
                first_id=0,
                replicas=1,
                resources=spec.broker_resources,
                storage=spec.broker_storage,
            )
        ]
    return [
        Role(
            name="kafka-controller",
            hosts="kafka-controller",
            service_domain=service_domain,
            processes=("controller",),
            first_id=0,
            replicas=spec.controllers,
            resources=spec.controller_resources,
            storage=spec.controller_storage,
        ),
        Role(
            name="kafka-broker",
            hosts="kafka-broker",
            service_domain=service_domain,
            processes=("broker",),
            first_id=100,
            replicas=spec.brokers,
            resources=spec.broker_resources,
            storage=spec.broker_storage,
        ),
    ]


def _policies(
    spec: KafkaSettings,
    namespace: Namespace,
    agents: Namespace,
    prometheus: Peer,
    keda: Peer | None,
    opts: pulumi.ResourceOptions,
) -> list[k8s.networking.v1.NetworkPolicy]:
    separate = spec.mode == "separate"
    controllers = Peer(namespace.name, CONTROLLER)
    clients = [
        brokers(namespace),
        Peer(agents.name, CLIENT_LABELS),
        Peer(namespace.name, EXPORTER),
        *([Peer(namespace.name, TOPICS)] if spec.has_job else []),
        *([keda] if keda else []),
    ]
    to_brokers = Edge((brokers(namespace),), (BROKER_PORT,))
    to_controllers = Edge((controllers,), (CONTROLLER_PORT,))

    def policy(
        name: str, pod_labels: dict[str, str], ingress: list[Edge], egress: list[Edge]
    ) -> k8s.networking.v1.NetworkPolicy:
        return network_policy(
            name, namespace=namespace.ref, pod_labels=pod_labels, ingress=ingress, egress=egress, opts=opts
        )

    policies = [
        policy(
            "kafka-broker",
            BROKER,
            [Edge(tuple(clients), (BROKER_PORT,))],
            # A combined node is its own controller: that never leaves the pod.
            [to_brokers, *([to_controllers] if separate else [])],
        ),
        policy("kafka-exporter", EXPORTER, [Edge((prometheus,), (EXPORTER_PORT,))], [to_brokers]),
    ]
    if separate:
        to_quorum = Edge((brokers(namespace), controllers), (CONTROLLER_PORT,))
        policies.append(policy("kafka-controller", CONTROLLER, [to_quorum], [to_controllers]))
    if spec.has_job:
        policies.append(policy("kafka-topics", TOPICS, [], [to_brokers]))
    return policies
