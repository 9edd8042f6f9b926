"""Settings of messaging and event sourcing: Kafka in KRaft mode, in the stack or external."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from manifests.problems import Problem, ProblemError
from manifests.text import quoted

from .model import Demand, Model, Resources, SecretKey, Section
from .tls import Certificates, ExternalTls
from .types import Cidr, Duration, ImageRef, Memory, TopicName


class TopicSettings(Model):
    """One topic. Partitions can grow, never shrink."""

    partitions: int = Field(default=6, ge=1, le=1000)
    retention: Duration = Field(default=timedelta(days=7), ge=timedelta(minutes=1))
    """How long a message is kept (`retention.ms`); without effect on a topic that is only compacted."""
    cleanup: Literal["delete", "compact", "compact,delete"] = "delete"
    """Kafka's `cleanup.policy`."""
    event_log: bool = False
    """Whether its messages are the only record of what happened (event sourcing): every one is kept for ever, or with
    `cleanup: compact` the last of each key. Needs `authentication: scram` and `minInsyncReplicas: 2` or more."""

    def problems(self) -> Iterator[Problem]:
        """An event log keeps everything."""
        if self.event_log and self.cleanup == "compact,delete":
            what = "an event log deletes nothing"
            yield Problem(("cleanup",), what, "write `compact`, or leave `cleanup` out")
        if self.event_log and "retention" in self.model_fields_set:
            what = "an event log is kept for ever"
            yield Problem(("retention",), what, "remove `retention` or `eventLog`")

    @property
    def retention_ms(self) -> int:
        """Kafka's `retention.ms`; -1 is for ever."""
        return -1 if self.event_log else int(self.retention.total_seconds() * 1000)


def _broker(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"[A-Za-z0-9.-]+", host) or not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise ProblemError.of(f"{quoted(text)} is not a broker address", "write `host:port`")
    return text


_SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]


def _security_protocol(*, login: bool, tls: bool) -> _SecurityProtocol:
    if login:
        return "SASL_SSL" if tls else "SASL_PLAINTEXT"
    return "SSL" if tls else "PLAINTEXT"


class SaslLogin(Model):
    """The user that all agents are to an external Kafka; name and password are in Secrets of the agents' namespace."""

    mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"
    """How the password is proven. `PLAIN` sends it as it is: with `tls` only."""
    username: SecretKey
    password: SecretKey


class ExternalKafka(Model):
    """A Kafka that is not part of the stack, such as a managed service. Its topics must exist."""

    brokers: tuple[Annotated[str, AfterValidator(_broker)], ...] = Field(min_length=1)
    """Bootstrap brokers as `host:port`."""
    authentication: SaslLogin | None = None
    """Absent: agents do not log in."""
    tls: ExternalTls | None = None
    """Absent: plain connections."""
    network: Cidr | None = None
    """The network of its brokers' addresses; absent: agents may reach any address on those ports."""
    preflight: bool = True
    """Whether a Job tries it before agents roll. It reads a message of each topic that agents consume, without a group,
    and writes nothing. Its resources are `kafka.jobResources`."""

    def problems(self) -> Iterator[Problem]:
        """No password is sent in the open."""
        if self.tls is None and self.authentication is not None and self.authentication.mechanism == "PLAIN":
            what = "PLAIN sends the password in the open"
            yield Problem(("authentication", "mechanism"), what, "set `tls`, or use SCRAM")

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports of the brokers, each once."""
        return tuple(sorted({int(broker.rpartition(":")[2]) for broker in self.brokers}))

    @property
    def security_protocol(self) -> _SecurityProtocol:
        """Kafka's name for how clients speak to the brokers."""
        return _security_protocol(login=self.authentication is not None, tls=self.tls is not None)


class KafkaSettings(Section):
    """Messages between agents."""

    usable: ClassVar[bool] = True
    implied_by: ClassVar[tuple[str, ...]] = ("consumes", "produces")
    variables: ClassVar[frozenset[str]] = frozenset(
        {
            "KAFKA_BOOTSTRAP_SERVERS",
            "KAFKA_SECURITY_PROTOCOL",
            "KAFKA_SASL_MECHANISM",
            "KAFKA_USERNAME",
            "KAFKA_PASSWORD",
            "KAFKA_CA_FILE",
            "KAFKA_CLIENT_RACK",
            "KAFKA_CONSUMER_GROUP",
            "KAFKA_CONSUME_TOPICS",
            "KAFKA_PRODUCE_TOPICS",
        }
    )

    mode: Literal["separate", "combined", "external"] = "separate"
    """`separate` controllers and brokers; `combined`: one node that is both, without a second copy of anything."""
    external: ExternalKafka | None = None
    """Set if, and only if, the mode is `external`."""
    image: ImageRef | None = None
    """Another image than the pinned one."""
    authentication: Literal["scram", "none"] = "scram"
    """`scram`: each agent has a user (SASL/SCRAM-SHA-512) that may do what its `consumes` and `produces` say, and no
    other gets in; `none`: whoever reaches the brokers may do anything. A change stops Kafka for a minute: see
    docs/kafka.md."""
    tls: Certificates | None = None
    """TLS on every connection; absent: plain connections. A change stops Kafka for a minute: see docs/kafka.md."""
    controllers: int = Field(default=3, ge=1, le=9)
    """Voters of the metadata quorum; odd. Fixed once the cluster exists, as is `mode` (docs/data.md)."""
    brokers: int = Field(default=3, ge=1, le=100)
    replication_factor: int = Field(default=3, ge=1)
    """Copies of every partition, internal topics included; at most one per broker."""
    min_insync_replicas: int = Field(default=2, ge=1)
    """Copies that must hold a message before `acks=all` succeeds; below the factor, so that one broker may end."""
    controller_resources: Resources = Resources.of("250m", "1Gi", "1", "1Gi")
    broker_resources: Resources = Resources.of("500m", "2Gi", "2", "2Gi")
    """The heap is half of the memory limit, at most 6Gi; the rest is page cache."""
    exporter_resources: Resources = Resources.of("10m", "32Mi", "100m", "64Mi")
    job_resources: Resources = Resources.of("100m", "256Mi", "1", "512Mi")
    """Of the Job that makes users and topics: it runs Kafka's command-line tools, each a JVM."""
    controller_storage: Memory = Memory("4Gi")
    """The claim of each controller. May grow where the StorageClass lets claims grow; to shrink: docs/data.md."""
    broker_storage: Memory = Memory("20Gi")
    """The claim of each broker, likewise."""
    topics: dict[TopicName, TopicSettings] = {}

    def problems(self) -> Iterator[Problem]:
        """The nodes can hold what is asked of them, and an external Kafka is described where, and only where, it is."""
        if (self.mode == "external") != (self.external is not None):
            yield Problem(("external",), "set it with `mode: external`, and only then")
        if self.mode == "external":
            if self.tls is not None:
                what = "holds the certificates of the stack's own Kafka"
                yield Problem(("tls",), what, "write `external.tls` instead")
            return
        yield from self._nodes()
        yield from self._copies()
        yield from self._topics()

    def _nodes(self) -> Iterator[Problem]:
        if self.mode == "combined":
            if (self.brokers, self.controllers) != (1, 1):
                what = "a combined Kafka is one node"
                yield Problem(("brokers",), what, "write `brokers: 1` and `controllers: 1`")
        elif self.controllers % 2 == 0:
            yield Problem(
                ("controllers",),
                f"{self.controllers} is even, and an even quorum survives no more than the odd number below it",
                f"write {self.controllers - 1} or {self.controllers + 1}",
            )

    def _copies(self) -> Iterator[Problem]:
        factor = self.replication_factor
        if factor > self.brokers:
            what = f"{factor} copies need as many brokers, and there are {self.brokers}"
            yield Problem(("replicationFactor",), what, "lower the factor or raise `brokers`")
        if self.min_insync_replicas >= max(factor, 2):
            yield Problem(
                ("minInsyncReplicas",),
                f"{self.min_insync_replicas} is not below the replication factor of {factor}, so one broker's end "
                "stops all writes",
                f"write {max(min(factor, self.brokers) - 1, 1)}",
            )

    def _topics(self) -> Iterator[Problem]:
        metric_names: dict[str, str] = {}
        for topic, settings in self.topics.items():
            other = metric_names.setdefault(topic.replace(".", "_"), topic)
            if other != topic:
                yield Problem(
                    ("topics", topic),
                    f"Kafka cannot tell it from `{other}` in metric names, where dots and underscores are one",
                    "rename one of them",
                )
            if settings.event_log and self.min_insync_replicas < 2:
                yield Problem(
                    ("topics", topic, "eventLog"),
                    "an acknowledged event must be on two brokers, and minInsyncReplicas is "
                    f"{self.min_insync_replicas}",
                    "write `minInsyncReplicas: 2` and `replicationFactor: 3`, or leave `eventLog` out where there is "
                    "no second copy",
                )
            if settings.event_log and not self.secured:
                what = "without users anybody may delete it"
                yield Problem(("topics", topic, "eventLog"), what, "write `authentication: scram`")

    @property
    def secured(self) -> bool:
        """Whether clients must log in."""
        return self.authentication == "scram"

    @property
    def has_job(self) -> bool:
        """Whether there are users or topics to make."""
        return self.secured or bool(self.topics)

    @property
    def security_protocol(self) -> _SecurityProtocol:
        """Kafka's name for how everybody speaks to the brokers."""
        return _security_protocol(login=self.secured, tls=self.tls is not None)

    def demands(self) -> dict[str, list[Demand]]:
        """Return the cluster's pods, or that of the preflight of an external Kafka."""
        if self.external is None:
            return {"data": self._cluster_demands()}
        if not self.external.preflight:
            return {}
        return {"agents": [Demand(source="kafka preflight", minimum=1, maximum=1, containers=(self.job_resources,))]}

    def _cluster_demands(self) -> list[Demand]:
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
        if self.has_job:
            demands.append(Demand(source="kafka topics", minimum=1, maximum=1, containers=(self.job_resources,)))
        return demands
