"""Settings of messaging and event sourcing: Kafka in KRaft mode, in the stack or external."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from .model import Demand, Model, Resources
from .types import Cidr, Duration, ImageRef, Memory, TopicName, quoted


class TopicSettings(Model):
    """One topic. Partitions can grow, never shrink."""

    partitions: int = Field(default=6, ge=1, le=1000)
    retention: Duration = Field(default=timedelta(days=7), ge=timedelta(minutes=1))
    """How long a message is kept (`retention.ms`); without effect on a topic that is only compacted."""
    cleanup: Literal["delete", "compact", "compact,delete"] = "delete"
    """Kafka's `cleanup.policy`."""


def _broker(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"[A-Za-z0-9.-]+", host) or not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise ValueError(f"{quoted(text)} is not a broker address: write `host:port`")
    return text


class ExternalKafka(Model):
    """A Kafka that is not part of the stack. Its topics must exist; authentication is not configured yet."""

    brokers: tuple[Annotated[str, AfterValidator(_broker)], ...] = Field(min_length=1)
    """Bootstrap brokers as `host:port`."""
    network: Cidr | None = None
    """The network of its brokers' addresses; absent: agents may reach any address on those ports."""

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports of the brokers, each once."""
        return tuple(sorted({int(broker.rpartition(":")[2]) for broker in self.brokers}))


class KafkaSettings(Model):
    """Messages between agents."""

    mode: Literal["separate", "combined", "external"] = "separate"
    """`separate` controllers and brokers; `combined`: one node that is both, without a second copy of anything."""
    external: ExternalKafka | None = None
    """Set if, and only if, the mode is `external`."""
    image: ImageRef | None = None
    """Another image than the pinned one."""
    controllers: int = Field(default=3, ge=1, le=9)
    """Voters of the metadata quorum; odd. Fixed once the cluster exists, as is `mode`: nothing checks that yet."""
    brokers: int = Field(default=3, ge=1, le=100)
    replication_factor: int = Field(default=3, ge=1)
    """Copies of every partition, internal topics included; at most one per broker."""
    min_insync_replicas: int = Field(default=2, ge=1)
    """Copies that must hold a message before `acks=all` succeeds; below the factor, so that one broker may end."""
    controller_resources: Resources = Resources.of("250m", "1Gi", "1", "1Gi")
    broker_resources: Resources = Resources.of("500m", "2Gi", "2", "2Gi")
    """The heap is half of the memory limit; the rest is page cache."""
    exporter_resources: Resources = Resources.of("10m", "32Mi", "100m", "64Mi")
    job_resources: Resources = Resources.of("100m", "256Mi", "1", "512Mi")
    """Of the Job that creates the topics: it runs Kafka's command-line tools, each a JVM."""
    # The size of a claim cannot change in a StatefulSet: another one replaces the set.
    controller_storage: Memory = Memory("4Gi")
    broker_storage: Memory = Memory("20Gi")
    topics: dict[TopicName, TopicSettings] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.mode == "external") != (self.external is not None):
            raise ValueError("external: set it with `mode: external`, and only then")
        if self.mode == "external":
            return self
        metric_names: dict[str, str] = {}
        for topic in self.topics:
            other = metric_names.setdefault(topic.replace(".", "_"), topic)
            if other != topic:
                raise ValueError(
                    f"topics.{topic}: Kafka cannot tell it from `{other}` in metric names, where dots and underscores "
                    "are one: rename one of them"
                )
        if self.mode == "combined" and (self.brokers, self.controllers) != (1, 1):
            raise ValueError("brokers: a combined Kafka is one node: write `brokers: 1` and `controllers: 1`")
        if self.controllers % 2 == 0:
            raise ValueError(
                f"controllers: {self.controllers} is even, and an even quorum survives no more than the odd number "
                f"below it: write {self.controllers - 1} or {self.controllers + 1}"
            )
        if self.replication_factor > self.brokers:
            raise ValueError(
                f"replicationFactor: {self.replication_factor} copies need as many brokers, and there are "
                f"{self.brokers}: lower the factor or raise `brokers`"
            )
        if self.min_insync_replicas >= max(self.replication_factor, 2):
            raise ValueError(
                f"minInsyncReplicas: {self.min_insync_replicas} is not below the replication factor of "
                f"{self.replication_factor}, so one broker's end stops all writes: write "
                f"{max(self.replication_factor - 1, 1)}"
            )
        return self

    def demands(self) -> list[Demand]:
        """Pods in the data namespace."""
        if self.mode == "external":
            return []
        demands = [
            Demand(
                source="kafka brokers",
                minimum=self.brokers,
                maximum=self.brokers,
                containers=(self.broker_resources,),
            ),
            Demand(source="kafka exporter", minimum=1, maximum=1, containers=(self.exporter_resources,)),
        ]
        if self.mode == "separate":
            number = self.controllers
            demands.append(
                Demand(
                    source="kafka controllers",
                    minimum=number,
                    maximum=number,
                    containers=(self.controller_resources,),
                )
            )
        if self.topics:
            demands.append(Demand(source="kafka topics", minimum=1, maximum=1, containers=(self.job_resources,)))
        return demands
