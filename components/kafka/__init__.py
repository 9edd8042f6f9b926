"""Kafka: messages between agents, in KRaft mode or external."""

from components.kafka.client import external
from components.kafka.cluster import KafkaCluster

__all__ = ["KafkaCluster", "external"]
