"""What clients of the stack's own Kafka need."""

from __future__ import annotations

import pulumi

from components.connection import Connection, SecretRef
from components.context import Namespace
from components.network import NetworkEdge

from .common import BROKER_PORT, CLIENT_LABELS, ZONE_FIELD, brokers
from .users import Access


def internal(
    agent: str, access: Access, namespace: Namespace, servers: str, ready: tuple[pulumi.Resource, ...]
) -> Connection:
    """The connection of one agent to the stack's own brokers, at `servers` (`host:port`)."""
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": servers,
        "KAFKA_SECURITY_PROTOCOL": access.protocol,
    }
    files = {}
    login = access.logins.get(agent)
    if login is not None:
        environment["KAFKA_SASL_MECHANISM"] = "SCRAM-SHA-512"
        ready = (*ready, login.secret)
    if access.certificates is not None:
        files = {"KAFKA_CA_FILE": SecretRef(access.certificates.name, "ca.crt")}
        ready = (*ready, *access.certificates.resources)
    return Connection(
        environment=environment,
        secrets=login.references if login is not None else {},
        secret_values=login.values if login is not None else {},
        files=files,
        fields={"KAFKA_CLIENT_RACK": ZONE_FIELD},
        pod_labels=CLIENT_LABELS,
        egress=(NetworkEdge((brokers(namespace),), (BROKER_PORT,)),),
        ready=ready,
    )
