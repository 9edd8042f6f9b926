"""A Kafka that is not part of the stack: how agents reach it, and what tries it before them."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from components.connection import Connection, SecretRef
from components.context import Namespace
from components.network import NetworkEdge, outside
from components.preflight import Attempt, Preflight
from components.versions import KAFKA
from settings import AgentSettings, ExternalKafka, KafkaSettings

from .common import FILES, KAFKA_HOME, heap, image

_SCRIPT = FILES / "kafka-preflight.sh"


def external(spec: KafkaSettings, *, preflight: Preflight | None = None) -> Connection:
    """Connect agents to the Kafka of `spec.external`, whose login is in Secrets of the agents' namespace.

    With `preflight`, they roll only once that has succeeded. Raises ValueError where `spec.mode` is not `external`.
    """
    there = _external(spec)
    login, ca = there.authentication, there.tls.ca if there.tls else None
    variables = {
        "KAFKA_BOOTSTRAP_SERVERS": ",".join(there.brokers),
        "KAFKA_SECURITY_PROTOCOL": there.security_protocol,
    }
    secrets = {}
    if login is not None:
        variables["KAFKA_SASL_MECHANISM"] = login.mechanism
        for variable, key in (("KAFKA_USERNAME", login.username), ("KAFKA_PASSWORD", login.password)):
            secrets[variable] = SecretRef(key.name, key.key)
    return Connection(
        environment=variables,
        secrets=secrets,
        files={"KAFKA_CA_FILE": SecretRef(ca.name, ca.key)} if ca else {},
        egress=(NetworkEdge((outside(there.network),), there.ports),),
        ready=(preflight,) if preflight else (),
    )


def preflight(
    name: str,
    spec: KafkaSettings,
    *,
    clients: Mapping[str, AgentSettings],
    namespace: Namespace,
    opts: pulumi.ResourceOptions | None = None,
) -> Preflight:
    """Try the Kafka of `spec.external` with the topics of `clients`, from `namespace`, which is that of the agents.

    Raises ValueError where `spec.mode` is not `external`.
    """
    connection = external(spec)
    attempt = Attempt(
        "kafka",
        script=_SCRIPT,
        image=image(spec),
        user=KAFKA.user,
        resources=spec.job_resources,
        environment={
            "KAFKA_HOME": KAFKA_HOME,
            # An agent is a consumer group of its own name.
            "CONSUMES": "\n".join(f"{agent} {topic}" for agent, client in clients.items() for topic in client.consumes),
            "PRODUCES": "\n".join(sorted({topic for client in clients.values() for topic in client.produces})),
            "LOG_DIR": "/tmp",
            "KAFKA_HEAP_OPTS": heap(spec.job_resources),
            # The tools run for seconds: starting fast is all that counts.
            "KAFKA_JVM_PERFORMANCE_OPTS": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
        },
    )
    return Preflight(name, connection, attempt, namespace=namespace, opts=opts)


def _external(spec: KafkaSettings) -> ExternalKafka:
    if spec.external is None:
        raise ValueError(f"kafka.mode is {spec.mode}: only `external` has brokers elsewhere")
    return spec.external
