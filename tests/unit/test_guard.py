"""Which changes of settings are refused, and what is said about them."""

from __future__ import annotations

from typing import Any

import pytest

from components.platform.guard import destructive_changes, facts, refusals
from settings import Settings


def said(old: dict[str, Any], new: dict[str, Any], accepted: tuple[str, ...] = ()) -> list[str]:
    return list(refusals(facts(Settings.model_validate(old)), facts(Settings.model_validate(new)), accepted))


def redis(**fields: Any) -> dict[str, Any]:
    return {"redis": fields}


def kafka(**fields: Any) -> dict[str, Any]:
    return {"kafka": fields}


def log(**fields: Any) -> dict[str, Any]:
    return kafka(topics={"events": {"eventLog": True, **fields}})


REDIS_HOST = {"host": "redis.example.com", "urlSecret": {"name": "redis", "key": "url"}}
EXTERNAL_REDIS = redis(mode="external", external=REDIS_HOST)
EXTERNAL_KAFKA = kafka(mode="external", external={"brokers": ["kafka.example.com:9092"]})
COMBINED = kafka(mode="combined", brokers=1, controllers=1, replicationFactor=1, minInsyncReplicas=1)

ACCEPTABLE = [
    (redis(shards=4), redis(shards=3), "redis.shards: 4 -> 3"),
    (redis(shards=8), redis(shards=7), "redis.shards: 8 -> 7"),
    (redis(), redis(replicasPerShard=0), "redis.replicasPerShard: 1 -> 0"),
    (redis(), redis(storage="7Gi"), "redis.storage: 8Gi -> 7Gi"),
    (redis(storage="1Gi"), redis(storage="900Mi"), "redis.storage: 1Gi -> 900Mi"),
    (redis(), EXTERNAL_REDIS, "redis.mode: cluster -> external"),
    (kafka(brokers=4), kafka(), "kafka.brokers: 4 -> 3"),
    (kafka(), kafka(brokerStorage="10Gi"), "kafka.brokerStorage: 20Gi -> 10Gi"),
    (kafka(), kafka(controllerStorage="1Gi"), "kafka.controllerStorage: 4Gi -> 1Gi"),
    (redis(), redis(resources={"limits": {"memory": "1536Mi"}}), "redis.resources.limits.memory: 2Gi -> 1536Mi"),
    (kafka(brokers=4, replicationFactor=4), kafka(brokers=4), "kafka.replicationFactor: 4 -> 3"),
    (kafka(), kafka(minInsyncReplicas=1), "kafka.minInsyncReplicas: 2 -> 1"),
    (
        kafka(topics={"tasks": {"cleanup": "delete"}}),
        kafka(topics={"tasks": {"cleanup": "compact"}}),
        "kafka.topics.tasks.cleanup: delete -> compact",
    ),
    (kafka(brokers=4), kafka(brokers=4, replicationFactor=4), "kafka.replicationFactor: 3 -> 4"),
    (kafka(), EXTERNAL_KAFKA, "kafka.mode: separate -> external"),
    (log(), kafka(), "kafka.topics.events.eventLog: true -> removed"),
    (log(), kafka(topics={"events": {}}), "kafka.topics.events.eventLog: true -> removed"),
    (log(cleanup="delete"), log(cleanup="compact"), "kafka.topics.events.cleanup: delete -> compact"),
    ({}, {"platform": {"storageClass": "fast"}}, "platform.storageClass: the default -> fast"),
    (
        {"platform": {"storageClass": "fast"}},
        {"platform": {"storageClass": "slow"}},
        "platform.storageClass: fast -> slow",
    ),
    (
        {"observability": {"prometheus": {"storage": "80Gi"}}},
        {"observability": {"prometheus": {"storage": "60Gi"}}},
        "observability.prometheus.storage: 80Gi -> 60Gi",
    ),
]
NEVER = [
    (redis(), redis(engine="valkey"), "redis.engine: redis -> valkey"),
    (redis(), redis(tls={"clusterIssuer": "internal"}), "redis.tls: off -> on"),
    (kafka(), kafka(controllers=5), "kafka.controllers: 3 -> 5"),
    (kafka(controllers=5), kafka(), "kafka.controllers: 5 -> 3"),
    (kafka(), COMBINED, "kafka.mode: separate -> combined"),
    (
        kafka(topics={"tasks": {"partitions": 10}}),
        kafka(topics={"tasks": {"partitions": 9}}),
        "kafka.topics.tasks.partitions: 10 -> 9",
    ),
    (
        log(cleanup="compact", partitions=12),
        log(cleanup="compact", partitions=24),
        "kafka.topics.events.partitions: 12 by key -> 24 by key",
    ),
    ({}, {"namespaces": {"data": {"name": "state"}}}, "namespaces.data.name: data -> state"),
    (
        {},
        {"namespaces": {"observability": {"name": "metrics"}}},
        "namespaces.observability.name: observability -> metrics",
    ),
]


@pytest.mark.parametrize(("old", "new", "change"), [*ACCEPTABLE, *NEVER], ids=lambda value: str(value)[:40])
def test_what_would_lose_data_is_refused(old: dict[str, Any], new: dict[str, Any], change: str) -> None:
    (line,) = [line for line in said(old, new) if line.startswith(change)]
    reason, _, way = line.removeprefix(f"{change}: ").partition(": ")
    assert reason
    assert way


@pytest.mark.parametrize(("old", "new", "change"), ACCEPTABLE, ids=lambda value: str(value)[:40])
def test_what_somebody_has_prepared_is_let_through(old: dict[str, Any], new: dict[str, Any], change: str) -> None:
    (line,) = said(old, new)
    assert line.endswith(f"then add '{change}' to platform.safeguards.accept")
    assert said(old, new, (change,)) == []
    assert said(old, new, (change.replace("->", "to"),)) == [line]


@pytest.mark.parametrize(("old", "new", "change"), NEVER, ids=lambda value: str(value)[:40])
def test_what_cannot_be_prepared_is_never_let_through(old: dict[str, Any], new: dict[str, Any], change: str) -> None:
    lines = said(old, new)
    assert said(old, new, (change,)) == lines
    assert not any("accept" in line for line in lines if line.startswith(change))


def test_every_mistake_is_said_at_once() -> None:
    lines = said(redis(shards=4, storage="9Gi"), redis())
    assert [line.partition(":")[0] for line in lines] == ["redis.shards", "redis.storage"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {}),
        (redis(), redis(shards=4, replicasPerShard=2, storage="9Gi")),
        (redis(storage="1024Mi"), redis(storage="1Gi")),
        (redis(), redis(conversationTtl="1h", image="redis:8.10.3")),
        (redis(tls={"clusterIssuer": "internal"}), redis(tls={"existingSecret": "redis-certificate"})),
        (EXTERNAL_REDIS, redis()),
        (EXTERNAL_KAFKA, kafka()),
        (redis(), redis(resources={"limits": {"memory": "4Gi"}})),
        (kafka(), kafka(brokers=4, brokerStorage="30Gi", topics={"tasks": {}})),
        (kafka(topics={"tasks": {"retention": "7d"}}), kafka(topics={"tasks": {"partitions": 9, "retention": "1d"}})),
        # It stays in the cluster; only its declaration goes.
        (kafka(topics={"tasks": {}}), kafka()),
        (log(cleanup="delete"), log(cleanup="delete", partitions=9)),
        ({}, {"namespaces": {"agents": {"name": "workers"}}}),
    ],
)
def test_what_loses_nothing_is_not_refused(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert said(old, new) == []


@pytest.mark.parametrize(
    ("old", "new", "change", "costs"),
    [
        (
            kafka(topics={"tasks": {"retention": "7d"}}),
            kafka(topics={"tasks": {"retention": "36h"}}),
            "kafka.topics.tasks.retention: 7d -> 36h",
            "data",
        ),
        (
            {},
            {"observability": {"prometheus": {"retention": "7d"}}},
            "observability.prometheus.retention: 15d -> 7d",
            "data",
        ),
        (redis(), redis(backup={"keep": 3}), "redis.backup.keep: 7 -> 3", "data"),
        (kafka(), kafka(tls={"clusterIssuer": "internal"}), "kafka.tls: off -> on", "availability"),
        (kafka(), kafka(authentication="none"), "kafka.authentication: scram -> none", "availability"),
        (
            {},
            {"platform": {"safeguards": {"protectData": False}}},
            "platform.safeguards.protectData: on -> off",
            "protection",
        ),
    ],
)
def test_what_says_itself_what_it_costs_is_named_and_not_refused(
    old: dict[str, Any], new: dict[str, Any], change: str, costs: str
) -> None:
    (found,) = destructive_changes(facts(Settings.model_validate(old)), facts(Settings.model_validate(new)))
    assert (found.change, found.kind.costs, found.kind.refused) == (change, costs, False)
    assert "accept" not in found.way
    assert said(old, new) == []
    assert list(destructive_changes(facts(Settings.model_validate(new)), facts(Settings.model_validate(new)))) == []


def test_facts_of_an_older_stack_are_compared_as_far_as_they_go() -> None:
    assert list(destructive_changes({"redis.shards": "3"}, facts(Settings.model_validate({})))) == []
