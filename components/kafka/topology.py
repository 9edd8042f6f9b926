"""Kafka and its topics as nodes, and who produces, consumes and uses them as edges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from components.topology import (
    BROKER,
    CONSUMES,
    PRODUCES,
    USES,
    Edge,
    Node,
    NodeKind,
    agent_node,
    count,
    scraped,
)
from settings.types import duration_text

if TYPE_CHECKING:
    from settings import KafkaSettings, Settings

KAFKA: Final = NodeKind("kafka", "message broker", BROKER, "cylinder")
TOPIC: Final = NodeKind("topic", "Kafka topic", BROKER, "flag", repeated=True)
NODE: Final = "kafka"


def topology(settings: Settings) -> Iterator[Node | Edge]:
    """Yield the brokers and the topics, and the agents' messages; of an external Kafka, the topics that are used."""
    kafka = settings.kafka
    if kafka.external is not None:
        yield Node(NODE, KAFKA, "Kafka", f"external, {kafka.external.brokers[0]}")
        used = {topic for agent in settings.agents.values() for topic in (*agent.consumes, *agent.produces)}
        for topic in sorted(used):
            yield Node(_topic(topic), TOPIC, topic)
    else:
        yield from _cluster(kafka, settings.namespaces.data.name)
    for name, agent in settings.agents.items():
        own = agent_node(name)
        for topic in agent.produces:
            yield Edge(own, _topic(topic), PRODUCES)
        for topic in agent.consumes:
            yield Edge(_topic(topic), own, CONSUMES)
        if "kafka" in agent.used_parts and not (agent.consumes or agent.produces):
            yield Edge(own, NODE, USES)


def _cluster(kafka: KafkaSettings, group: str) -> Iterator[Node | Edge]:
    size = count(kafka.brokers, "broker")
    if kafka.mode == "separate":
        size += f", {count(kafka.controllers, 'controller')}"
    yield Node(NODE, KAFKA, "Kafka", size, group)
    yield scraped(NODE)
    for name, topic in kafka.topics.items():
        kept = f"keeps {duration_text(topic.retention)}" if topic.cleanup == "delete" else "compacted"
        detail = f"{count(topic.partitions, 'partition')}, {'event log' if topic.event_log else kept}"
        yield Node(_topic(name), TOPIC, name, detail, group)


def _topic(name: str) -> str:
    return f"topic/{name}"
