"""What clients of a Kafka need, in the stack or not."""

from __future__ import annotations

import pulumi

from components.connection import Connection
from components.kafka.common import BROKER_PORT, CLIENT_LABELS, bootstrap_servers, brokers
from components.namespaces import Namespace
from components.network import ANYWHERE, Edge, Peer
from settings import KafkaSettings

_BOOTSTRAP_SERVERS = "KAFKA_BOOTSTRAP_SERVERS"


def internal(namespace: Namespace, cluster_domain: str, ready: tuple[pulumi.Resource, ...]) -> Connection:
    """The connection to the stack's own brokers."""
    return Connection(
        environment={_BOOTSTRAP_SERVERS: bootstrap_servers(namespace, cluster_domain)},
        pod_labels=CLIENT_LABELS,
        egress=(Edge((brokers(namespace),), (BROKER_PORT,)),),
        ready=ready,
    )


def external(spec: KafkaSettings) -> Connection:
    """The connection to a Kafka that is not part of the stack (`mode: external`).

    Raises ValueError in another mode.
    """
    if spec.external is None:
        raise ValueError(f"kafka.mode is {spec.mode}: only `external` has brokers elsewhere")
    network = spec.external.network
    return Connection(
        environment={_BOOTSTRAP_SERVERS: ",".join(spec.external.brokers)},
        egress=(Edge((Peer(cidr=network) if network else ANYWHERE,), spec.external.ports),),
    )
