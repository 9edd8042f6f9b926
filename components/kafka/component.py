"""The Kafka cluster: its roles, its topics, its exporter, and who may connect to whom."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random

from components.connection import Connection
from components.context import Context, Offer
from components.labels import labels
from components.network import NetworkEdge, Peer, edges_from, network_policy
from components.workloads import metadata
from settings import KafkaSettings, Settings

from .common import (
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
from .connection import internal
from .exporter import exporter
from .external import external, preflight
from .nodes import CLUSTER_ID_KEY, CONFIG_FILES, NodeRole, nodes
from .part import EXPORTER_PORT
from .topics import topics_job
from .users import access


class KafkaCluster(pulumi.ComponentResource):
    """Kafka in KRaft mode: `separate` controllers and brokers, or one `combined` node.

    Agents reach it through `connections`; where some scale by a topic, KEDA asks for their lag. Where data is
    protected, the engine refuses to delete the StatefulSets, the cluster id and the passwords of its own users, and the
    volumes outlive them; elsewhere, they go when the StatefulSets go. Raises ValueError if the mode is `external`.
    """

    connections: Mapping[str, Connection]
    """How each of the context's agents reaches it, by the agent's name."""

    def __init__(
        self,
        name: str,
        spec: KafkaSettings,
        context: Context,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        if spec.mode == "external":
            raise ValueError("kafka.mode is external: there is no cluster to create, call `external` instead")
        super().__init__("agentstack:data:KafkaCluster", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        namespace = context.namespaces.data
        config_map = self._configuration(spec, context)
        policies = _policies(spec, context, child)
        domain = f"{namespace.name}.svc.{context.cluster_domain}"
        roles = _roles(spec, domain)
        users = {agent: settings for agent, settings in context.agents.items() if "kafka" in settings.used_parts}
        # The name by which clients find the brokers, from any namespace.
        host = f"{BOOTSTRAP}.{domain}"
        servers = f"{host}:{BROKER_PORT}"
        granted = access(
            spec,
            context,
            clients=users,
            dns_names=[host, *(f"*.{role.domain}" for role in roles)],
            parent=self,
        )
        voters = next(role for role in roles if "controller" in role.processes).voters
        sets = [
            nodes(
                role,
                spec,
                context,
                access=granted,
                servers=servers,
                voters=voters,
                config_map=config_map.metadata.name,
                parent=self,
            )
            for role in roles
        ]
        bootstrap = k8s.core.v1.Service(
            BOOTSTRAP,
            metadata=metadata(BOOTSTRAP, namespace, labels("kafka", "broker", version(spec))),
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
        self.connections = {agent: internal(agent, granted, namespace, servers, ready) for agent in context.agents}
        self.register_outputs({})

    def _configuration(self, spec: KafkaSettings, context: Context) -> k8s.core.v1.ConfigMap:
        # 16 random bytes in URL-safe base64 without padding are a Kafka UUID. No keepers: it must never change, since
        # nodes refuse volumes of another cluster.
        cluster_id = random.RandomId(
            "kafka-cluster-id",
            byte_length=16,
            opts=pulumi.ResourceOptions(parent=self, protect=context.protect, retain_on_delete=context.protect),
        )
        return k8s.core.v1.ConfigMap(
            "kafka-config",
            metadata=metadata("kafka-config", context.namespaces.data, labels("kafka", "config", version(spec))),
            data={**CONFIG_FILES, CLUSTER_ID_KEY: cluster_id.b64_url},
            opts=pulumi.ResourceOptions(parent=self),
        )


def build(settings: Settings, context: Context, opts: pulumi.ResourceOptions) -> Offer:
    """Offer each agent its connection to Kafka, in the stack or outside."""
    spec = settings.kafka
    if spec.external is None:
        return Offer(connections=KafkaCluster("kafka", spec, context, opts).connections)
    tried = None
    if spec.external.preflight:
        namespace = context.namespaces.agents
        tried = preflight("kafka", spec, clients=context.agents, namespace=namespace, opts=opts)
    return Offer(connections=dict.fromkeys(context.agents, external(spec, preflight=tried)))


def _roles(spec: KafkaSettings, service_domain: str) -> list[NodeRole]:
    if spec.mode == "combined":
        return [
            NodeRole(
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
        NodeRole(
            name="kafka-controller",
            hosts="kafka-controller",
            service_domain=service_domain,
            processes=("controller",),
            first_id=0,
            replicas=spec.controllers,
            resources=spec.controller_resources,
            storage=spec.controller_storage,
        ),
        NodeRole(
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
    spec: KafkaSettings, context: Context, opts: pulumi.ResourceOptions
) -> list[k8s.networking.v1.NetworkPolicy]:
    namespace, keda = context.namespaces.data, context.keda
    by_topic = any(agent.queue and agent.queue.topic for agent in context.agents.values())
    separate = spec.mode == "separate"
    controllers = Peer(namespace.name, CONTROLLER)
    clients = [
        brokers(namespace),
        Peer(context.namespaces.agents.name, CLIENT_LABELS),
        Peer(namespace.name, EXPORTER),
        *([Peer(namespace.name, TOPICS)] if spec.has_job else []),
        *([keda] if keda and by_topic else []),
    ]
    to_brokers = NetworkEdge((brokers(namespace),), (BROKER_PORT,))
    to_controllers = NetworkEdge((controllers,), (CONTROLLER_PORT,))

    def policy(
        name: str, pod_labels: dict[str, str], ingress: list[NetworkEdge], egress: list[NetworkEdge]
    ) -> k8s.networking.v1.NetworkPolicy:
        return network_policy(
            name, namespace=namespace.ref, pod_labels=pod_labels, ingress=ingress, egress=egress, opts=opts
        )

    policies = [
        policy(
            "kafka-broker",
            BROKER,
            [NetworkEdge(tuple(clients), (BROKER_PORT,))],
            # A combined node is its own controller: that never leaves the pod.
            [to_brokers, *([to_controllers] if separate else [])],
        ),
        policy("kafka-exporter", EXPORTER, edges_from(context.prometheus, EXPORTER_PORT), [to_brokers]),
    ]
    if separate:
        to_quorum = NetworkEdge((brokers(namespace), controllers), (CONTROLLER_PORT,))
        policies.append(policy("kafka-controller", CONTROLLER, [to_quorum], [to_controllers]))
    if spec.has_job:
        policies.append(policy("kafka-topics", TOPICS, [], [to_brokers]))
    return policies
