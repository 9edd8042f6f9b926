"""How many pods an agent has: by the use of CPU and memory, or by what waits in a queue."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from pydantic import Field

from manifests.problems import Problem

from .model import Model
from .types import ConsumerGroup, Duration, Percent, RedisKey, TopicName


class Fallback(Model):
    """How many pods an agent has while its queue is there and does not say how long it is.

    While it cannot be reached at all, the number stays as it is.
    """

    failure_threshold: int = Field(default=3, ge=1, le=100)
    """Failed questions in a row before that holds; there is one every 15 seconds. Until then the number stays."""
    replicas: int | None = Field(default=None, ge=1, le=1000)
    """Pods at least; absent: `min`, or 1 with `min: 0`. More that run already stay: what cannot be seen is no reason to
    take pods away, and none to start many. An agent that is scaled to zero stays there."""


class Queue(Model):
    """What waits to be worked off: a Kafka topic, a Redis list or a Redis stream. Needs `platform.keda`."""

    topic: TopicName | None = None
    """A topic that the agent consumes. What its consumer group has not committed counts; where it has committed
    nothing yet, everything in the topic does: let the consumer start there (`auto.offset.reset=earliest`)."""
    redis_list: RedisKey | None = None
    """The key of a list, within the agent's `redisKeys`."""
    redis_stream: RedisKey | None = None
    """The key of a stream, within the agent's `redisKeys`. What its consumer group has not read yet counts."""
    consumer_group: ConsumerGroup | None = None
    """The stream's consumer group; absent: the agent's name. In Kafka it is always that."""
    lag_per_replica: int = Field(ge=1, le=1_000_000_000)
    """How many waiting messages one pod is for: the number of pods is the lag, or the length of the list, divided by
    it. What a pod works off in the time that a message may wait is a good value."""
    activation_lag: int = Field(default=0, ge=0, le=1_000_000_000)
    """With `min: 0`: more messages than this must wait before the first pod starts."""
    fallback: Fallback = Fallback()

    def problems(self) -> Iterator[Problem]:
        """It is one queue, and has a group where that can be chosen."""
        named = [field for field in ("topic", "redis_list", "redis_stream") if getattr(self, field) is not None]
        if len(named) != 1:
            yield Problem(("topic",), "give one of `topic`, `redisList` and `redisStream`")
        elif self.consumer_group is not None and self.redis_stream is None:
            what = "is for a `redisStream`"
            yield Problem(("consumerGroup",), what, "remove it (in Kafka it is the agent's name)")

    @property
    def redis_key(self) -> str | None:
        """The key in Redis, or None for a topic."""
        return self.redis_list or self.redis_stream


class Scaling(Model):
    """The number of pods, on the share of requested CPU and memory that is used or on the length of a queue.

    With several targets, the one that asks for most pods counts.
    """

    min: int = Field(ge=0, le=1000)
    """0, which is for an agent with a `queue`: no pods while nothing waits."""
    max: int = Field(ge=1, le=1000)
    queue: Queue | None = None
    cpu: Percent | None = Field(default_factory=lambda given: None if given.get("queue") else 70)
    """Target use of the CPU request in percent; `null`: CPU does not scale. Absent: 70, or `null` with a `queue`."""
    memory: Percent | None = None
    """Target use of the memory request in percent."""
    scale_down_after: Duration | None = Field(default=None, le=timedelta(hours=1))
    """How long the load must stay low before pods go (at most one hour); absent: 5 minutes, or 15 for an agent that
    consumes from a topic or a `queue`."""

    def problems(self) -> Iterator[Problem]:
        """The numbers are in order, and there is something to scale by."""
        ordered = self.min <= self.max
        if not ordered:
            yield Problem(("max",), f"{self.max} is below min {self.min}", "raise `max` or lower `min`")
        if self.queue is None:
            if self.min == 0:
                what = "without pods there is no use of CPU to scale by"
                yield Problem(("min",), what, "write `min: 1`, or give a `queue`")
            if self.cpu is None and self.memory is None:
                what = "neither CPU nor memory has a target"
                yield Problem(("cpu",), what, "give one, or use `replicas` instead")
            return
        if self.queue.activation_lag and self.min > 0:
            what = "is for the first pod from zero"
            yield Problem(("queue", "activationLag"), what, "remove it, or write `min: 0`")
        # Between bounds that are the wrong way round there is no number.
        if ordered and not self.min <= self.fallback_replicas <= self.max:
            what = f"{self.fallback_replicas} is not from min {self.min} to max {self.max}"
            yield Problem(("queue", "fallback", "replicas"), what, "write a number between them")

    @property
    def fallback_replicas(self) -> int:
        """The least number of pods while the queue cannot be asked."""
        given = self.queue.fallback.replicas if self.queue else None
        return given or max(1, self.min)
