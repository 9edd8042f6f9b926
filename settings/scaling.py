"""How many pods an agent has: by the use of CPU and memory, or by what waits in a queue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from manifests.text import nearest

from .model import Model
from .types import ConsumerGroup, Duration, Percent, RedisKey, TopicName

if TYPE_CHECKING:
    from .agents import AgentSettings
    from .root import Settings

_SERVES = timedelta(minutes=5)
# The default of Kubernetes.
# https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#stabilization-window
_CONSUMES = timedelta(minutes=15)
# Three times that: load comes in bursts, and each pod that goes makes its group rebalance, which stops the others.


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

    @model_validator(mode="after")
    def _one_queue(self) -> Self:
        named = [field for field in ("topic", "redis_list", "redis_stream") if getattr(self, field) is not None]
        if len(named) != 1:
            raise ValueError("topic: give one of `topic`, `redisList` and `redisStream`")
        if self.consumer_group is not None and self.redis_stream is None:
            raise ValueError("consumerGroup: is for a `redisStream`: remove it (in Kafka it is the agent's name)")
        return self

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

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max < self.min:
            raise ValueError(f"max: {self.max} is below min {self.min}: raise `max` or lower `min`")
        if self.queue is None and self.min == 0:
            raise ValueError("min: without pods there is no use of CPU to scale by: write `min: 1`, or give a `queue`")
        if self.queue is None and self.cpu is None and self.memory is None:
            raise ValueError("cpu: neither CPU nor memory has a target: give one, or use `replicas` instead")
        if self.queue is not None and self.queue.activation_lag and self.min > 0:
            raise ValueError("queue.activationLag: is for the first pod from zero: remove it, or write `min: 0`")
        if self.queue is not None and not self.min <= self.fallback_replicas <= self.max:
            raise ValueError(
                f"queue.fallback.replicas: {self.fallback_replicas} is not from min {self.min} to max {self.max}: "
                "write a number between them"
            )
        return self

    @property
    def fallback_replicas(self) -> int:
        """The least number of pods while the queue cannot be asked."""
        given = self.queue.fallback.replicas if self.queue else None
        return given or max(1, self.min)


def scale_down_after(agent: AgentSettings) -> timedelta:
    """How long an agent's load must stay low before pods go."""
    scaling = agent.scaling
    if scaling is not None and scaling.scale_down_after is not None:
        return scaling.scale_down_after
    return _CONSUMES if agent.consumes or (scaling and scaling.queue) else _SERVES


def queues(agents: Mapping[str, AgentSettings]) -> dict[str, Queue]:
    """The queues that agents scale by, by the agent's name."""
    return {name: agent.scaling.queue for name, agent in agents.items() if agent.scaling and agent.scaling.queue}


def agent_problems(agent: AgentSettings) -> Iterator[str]:
    """Say where an agent's scaling does not fit what else it declares."""
    scaling = agent.scaling
    queue = scaling.queue if scaling else None
    if scaling is None or queue is None:
        return
    if queue.topic is not None and queue.topic not in agent.consumes:
        mend = nearest(queue.topic, agent.consumes, "add it to `consumes`")
        yield f"scaling.queue.topic: the agent does not consume `{queue.topic}`{mend}"
    if queue.redis_key is not None:
        path = f"scaling.queue.{'redisList' if queue.redis_list else 'redisStream'}"
        if not agent.uses_redis:
            yield f"{path}: the agent does not use Redis: write `uses: [redis]`"
        elif not any(fnmatchcase(queue.redis_key, pattern) for pattern in agent.redis_keys):
            patterns = ", ".join(f"`{pattern}`" for pattern in agent.redis_keys)
            yield f"{path}: `{queue.redis_key}` is not among its keys ({patterns}): add it to `redisKeys`"
    if scaling.min == 0:
        unseen = [topic for topic in agent.consumes if topic != queue.topic]
        if unseen:
            yield (
                f"scaling.min: without pods nobody reads `{unseen[0]}`, and the queue says nothing of it: write "
                "`min: 1`, or leave that topic to another agent"
            )
        if agent.public is not None:
            yield "scaling.min: a public agent without pods answers nobody: write `min: 1`"


def stack_problems(settings: Settings) -> Iterator[str]:
    """Say where the agents' scaling does not fit the rest of the stack."""
    callers = {called: name for name, agent in reversed(settings.agents.items()) for called in agent.calls}
    for name, queue in queues(settings.agents).items():
        scaling: Any = settings.agents[name].scaling
        path = f"agents.{name}.scaling"
        if settings.platform.keda is None:
            yield (
                f"{path}.queue: KEDA scales by queues, and the settings do not say that this cluster has it: write "
                "`platform.keda: {}` where it is installed, or scale by `cpu`"
            )
        if queue.redis_key is not None and settings.redis.mode == "external":
            yield (
                f"{path}.queue: the login of an external Redis is a URL, which KEDA does not take: scale by a topic "
                "or by `cpu`"
            )
        topic = settings.kafka.topics.get(queue.topic or "") if settings.kafka.mode != "external" else None
        if topic is not None and scaling.max > topic.partitions:
            yield (
                f"{path}.max: {scaling.max} pods share the {topic.partitions} partitions of `{queue.topic}`, and those "
                f"beyond would have nothing to read: lower it, or raise `kafka.topics.{queue.topic}.partitions`"
            )
        if scaling.min == 0 and name in callers:
            yield f"{path}.min: agent `{callers[name]}` calls it, and without pods nobody answers: write `min: 1`"
