"""Kafka: messages between agents, in KRaft mode or external."""

from components.kafka.cluster import KafkaCluster
from components.kafka.external import external, preflight

__all__ = ["KafkaCluster", "external", "preflight"]
