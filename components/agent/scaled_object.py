"""KEDA's objects for an agent that scales by its queue, with the agent's own login.

What KEDA asks is within the agent's rights: the offsets of its group and its topic, the length of a key of its own.
https://keda.sh/docs/2.21/reference/scaledobject-spec/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components.connection import Connection, SecretRef
from settings import Queue, Scaling

from .declaration import Declaration

_API = "keda.sh/v1alpha1"
_POLLING_SECONDS = 15
"""As often as Kubernetes looks at a HorizontalPodAutoscaler; KEDA's default of 30 would delay the first pod only."""
_PROTOCOL_VERSION = "2.8.0"
"""What KEDA's client speaks: left alone, it takes Kafka to be 1.0.0, of whose protocol Kafka 4 has dropped a part.
https://cwiki.apache.org/confluence/display/KAFKA/KIP-896"""
_MECHANISMS = {"SCRAM-SHA-512": "scram_sha512", "SCRAM-SHA-256": "scram_sha256", "PLAIN": "plaintext"}


def scaled_object(
    agent: Declaration,
    scaling: Scaling,
    queue: Queue,
    *,
    target: k8s.apps.v1.Deployment,
    behavior: k8s.autoscaling.v2.HorizontalPodAutoscalerBehaviorArgs,
    opts: pulumi.ResourceOptions,
) -> k8s.apiextensions.CustomResource:
    """Have KEDA scale `target`, the agent's Deployment, between `min` and `max` by what waits in `queue`."""
    kind = "kafka" if queue.topic is not None else "redis"
    connection = agent.environment.connections[kind]
    trigger = _topic(agent, queue, connection) if kind == "kafka" else _key(agent, queue, connection)
    if login := _login(connection):
        authentication = k8s.apiextensions.CustomResource(
            agent.object_name,
            api_version=_API,
            kind="TriggerAuthentication",
            metadata=agent.metadata,
            spec={
                "secretTargetRef": [
                    {"parameter": parameter, "name": ref.name, "key": ref.key} for parameter, ref in login.items()
                ]
            },
            opts=pulumi.ResourceOptions(parent=opts.parent),
        )
        trigger["authenticationRef"] = {"name": agent.object_name}
        opts = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[authentication]))
    seconds = int(agent.settings.scale_down_after.total_seconds())
    targets = (("cpu", scaling.cpu), ("memory", scaling.memory))
    return k8s.apiextensions.CustomResource(
        agent.object_name,
        api_version=_API,
        kind="ScaledObject",
        metadata=agent.metadata,
        spec={
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target.metadata.name},
            "minReplicaCount": scaling.min,
            "maxReplicaCount": scaling.max,
            "pollingInterval": _POLLING_SECONDS,
            # From any number of pods to none; the rest is the HorizontalPodAutoscaler's.
            "cooldownPeriod": seconds,
            "fallback": {
                "failureThreshold": queue.fallback.failure_threshold,
                "replicas": scaling.fallback_replicas,
                "behavior": "currentReplicasIfHigher",
            },
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}},
            "triggers": [
                trigger,
                *(
                    {"type": resource, "metricType": "Utilization", "metadata": {"value": str(percent)}}
                    for resource, percent in targets
                    if percent is not None
                ),
            ],
        },
        opts=opts,
    )


def _topic(agent: Declaration, queue: Queue, connection: Connection) -> dict[str, Any]:
    """https://keda.sh/docs/2.21/scalers/apache-kafka/"""
    variables = connection.environment
    mechanism = variables.get("KAFKA_SASL_MECHANISM")
    return {
        "type": "kafka",
        "metadata": {
            "bootstrapServers": variables["KAFKA_BOOTSTRAP_SERVERS"],
            "consumerGroup": agent.name,
            "topic": queue.topic,
            "lagThreshold": str(queue.lag_per_replica),
            "activationLagThreshold": str(queue.activation_lag),
            # With `latest`, each partition that has never had a message would count as one that waits, for ever.
            "offsetResetPolicy": "earliest",
            "version": _PROTOCOL_VERSION,
            "fullMetadata": "false",
            "sasl": _MECHANISMS[mechanism] if mechanism else "none",
            "tls": "enable" if variables["KAFKA_SECURITY_PROTOCOL"].endswith("SSL") else "disable",
        },
    }


def _key(agent: Declaration, queue: Queue, connection: Connection) -> dict[str, Any]:
    """https://keda.sh/docs/2.21/scalers/redis-cluster-lists/ and redis-cluster-streams/"""
    variables = connection.environment
    common = {
        "addresses": f"{variables['REDIS_HOST']}:{variables['REDIS_PORT']}",
        "enableTLS": "true" if connection.files else "false",
    }
    lag, activation = str(queue.lag_per_replica), str(queue.activation_lag)
    if queue.redis_list is not None:
        counted = {"listName": queue.redis_list, "listLength": lag, "activationListLength": activation}
        return {"type": "redis-cluster", "metadata": common | counted}
    counted = {
        "stream": str(queue.redis_stream),
        "consumerGroup": queue.consumer_group or agent.name,
        # Not its pending entries: those are being worked on.
        "lagCount": lag,
        "activationLagCount": activation,
    }
    return {"type": "redis-cluster-streams", "metadata": common | counted}


def _login(connection: Connection) -> Mapping[str, SecretRef]:
    """What KEDA logs in with and trusts, by the names of its parameters."""
    parameters = {
        "KAFKA_USERNAME": "username",
        "KAFKA_PASSWORD": "password",
        "KAFKA_CA_FILE": "ca",
        "REDIS_CA_FILE": "ca",
    }
    given = {**connection.secrets, **connection.files}
    return {**connection.login, **{parameters[name]: ref for name, ref in given.items() if name in parameters}}
