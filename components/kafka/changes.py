"""What decides where Kafka keeps data and for how long, and which changes of that destroy it. Imports no Pulumi."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from components.change import (
    NAMED,
    REMOVED,
    ChangeRule,
    changed,
    lowered,
    moved_outside,
    removed,
    shortened,
    smaller_claims,
)
from settings import Settings, TopicSettings
from settings.types import duration_text

_BY_KEY = " by key"
"""Marks the partitions of an event log that keeps the last message of each key."""


def facts(settings: Settings) -> dict[str, object]:
    """Return what a change is compared by."""
    kafka = settings.kafka
    if kafka.mode == "external":
        return {"kafka.mode": kafka.mode}
    return {
        "kafka.mode": kafka.mode,
        "kafka.authentication": kafka.authentication,
        "kafka.tls": "on" if kafka.tls else "off",
        "kafka.controllers": kafka.controllers,
        "kafka.brokers": kafka.brokers,
        "kafka.replicationFactor": kafka.replication_factor,
        "kafka.minInsyncReplicas": kafka.min_insync_replicas,
        "kafka.controllerStorage": kafka.controller_storage,
        "kafka.brokerStorage": kafka.broker_storage,
        **{
            f"kafka.topics.{name}.{key}": value
            for name, topic in kafka.topics.items()
            for key, value in _topic_facts(topic)
        },
    }


def _topic_facts(topic: TopicSettings) -> Iterator[tuple[str, str]]:
    by_key = topic.event_log and topic.cleanup == "compact"
    yield "partitions", f"{topic.partitions}{_BY_KEY if by_key else ''}"
    yield "cleanup", topic.cleanup
    if "delete" in topic.cleanup and not topic.event_log:
        yield "retention", duration_text(topic.retention)
    if topic.event_log:
        yield "eventLog", "true"


def _partitions(value: str) -> int:
    return int(value.removesuffix(_BY_KEY))


def _fewer_partitions(before: str, after: str) -> bool:
    return after != REMOVED and _partitions(after) < _partitions(before)


def _keys_repartitioned(before: str, after: str) -> bool:
    return before.endswith(_BY_KEY) and after != REMOVED and _partitions(after) > _partitions(before)


CHANGES: Final = (
    moved_outside("kafka.mode"),
    ChangeRule(
        "kafka.mode",
        lambda before, after: changed(before, after) and "external" not in (before, after),
        "it makes another cluster beside the volumes of this one",
        "make a new stack in the other mode",
        "a-new-stack",
        acceptable=False,
    ),
    ChangeRule(
        "kafka.controllers",
        changed,
        "the voters of the metadata quorum are fixed when its volumes are formatted",
        "make a new stack with that number",
        "a-new-stack",
        acceptable=False,
    ),
    ChangeRule(
        "kafka.brokers",
        lowered,
        "it stops the brokers with the highest numbers, whatever partitions they hold",
        "move their partitions away first",
        "fewer-brokers",
    ),
    smaller_claims("kafka.controllerStorage"),
    smaller_claims("kafka.brokerStorage"),
    ChangeRule(
        "kafka.replicationFactor",
        changed,
        "the factor of the topics that exist does not follow",
        "change theirs first",
    ),
    ChangeRule(
        "kafka.minInsyncReplicas",
        lowered,
        "a write would be acknowledged that the loss of fewer volumes loses",
        "be sure that this may be",
    ),
    ChangeRule(
        "kafka.topics.*.partitions",
        _fewer_partitions,
        "Kafka cannot take partitions away",
        "declare a topic of another name",
        acceptable=False,
    ),
    ChangeRule(
        "kafka.topics.*.partitions",
        _keys_repartitioned,
        "keys go to other partitions, and what the old ones keep of them is never replaced",
        "declare a topic of another name, and copy the messages into it",
        acceptable=False,
    ),
    ChangeRule(
        "kafka.topics.*.eventLog",
        removed,
        "its messages are the only record of what happened, and would no longer be kept",
        "copy them, or be sure that nobody needs them",
    ),
    ChangeRule(
        "kafka.topics.*.cleanup",
        changed,
        "the other policy deletes messages that this one keeps",
        "copy them, or be sure that nobody needs them",
    ),
    ChangeRule(
        "kafka.topics.*.retention",
        shortened,
        "Kafka deletes the messages that are older than that, within minutes",
        "copy them, or be sure that nobody needs them",
        NAMED,
        refused=False,
    ),
    *(
        ChangeRule(
            path,
            changed,
            "nodes with it and nodes without it do not let each other in, so Kafka stops for about a minute",
            "restart all nodes together while `up` waits (docs/kafka.md, Changing passwords)",
            NAMED,
            costs="availability",
            refused=False,
        )
        for path in ("kafka.authentication", "kafka.tls")
    ),
)
