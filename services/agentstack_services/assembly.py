"""What the mains of the five services share: connections, a consumer by the contract, readiness, shutdown."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from agentstack_runtime.bus import Bus, Consumer, Message, Unavailable
from agentstack_runtime.contract import Contract, ContractError
from agentstack_runtime.lifecycle import Process
from agentstack_runtime.state import State
from agentstack_runtime.telemetry import bind, continue_trace
from agentstack_runtime.telemetry.metrics import MESSAGES, QUEUE_WAIT, WORK_IN_FLIGHT
from agentstack_services.domain.messages import DEAD_LETTERS
from agentstack_services.workflows.catalogue import Catalogue

Step = Callable[[float], Awaitable[None]]
"""A step of the shutdown; it gets the seconds that are left."""


@dataclass(frozen=True)
class Service:
    """One service's contract and connections."""

    contract: Contract
    state: State
    bus: Bus

    @classmethod
    def connect(cls, contract: Contract, *, prefix: str = "conversation", ttl: timedelta | None = None) -> Service:
        """Return the service with Redis and Kafka. Nothing is sent yet: readiness tells whether they answer.

        `prefix` is what the keys in Redis begin with, `ttl` how long values live; a conversation's time if absent.

        Raises:
            ContractError: the stack injected no Redis or no Kafka.
        """
        problems = []
        if contract.redis is None:
            problems.append("REDIS_URL: missing; say `uses: [redis]` in the agent's file")
        if contract.kafka is None:
            problems.append("KAFKA_BOOTSTRAP_SERVERS: missing; say `consumes:` or `produces:` in the agent's file")
        if contract.redis is None or contract.kafka is None:
            raise ContractError(problems)
        # Here, so that whoever tests a service with other connections needs neither client.
        from agentstack_runtime.bus.kafka import KafkaBus
        from agentstack_runtime.state.redis import RedisState

        return cls(
            contract=contract,
            state=RedisState(contract.redis, prefix=prefix, ttl=ttl),
            bus=KafkaBus(contract.kafka, client_id=contract.pod_name),
        )

    def consumer(
        self,
        handler: Callable[[Message], Awaitable[None]],
        *,
        on_dead_letter: Callable[[Message, str], Awaitable[None]] | None = None,
    ) -> Consumer:
        """Return what reads the topics of the contract (KAFKA_CONSUME_TOPICS) into `handler`.

        Raises:
            ContractError: the contract has no topics to consume.
        """
        kafka, resilience = self.contract.kafka, self.contract.resilience
        if kafka is None or not kafka.consume_topics:
            raise ContractError(["KAFKA_CONSUME_TOPICS: empty; say `consumes:` in the agent's file"])
        return Consumer(
            self.bus,
            kafka.consume_topics,
            kafka.consumer_group or self.contract.agent_name,
            _traced(handler),
            concurrency=resilience.concurrency,
            queue_bound=resilience.queue_bound,
            retries=resilience.retries,
            dead_letter_topic=DEAD_LETTERS,
            on_dead_letter=on_dead_letter,
            metrics=_Metrics(),
        )

    def process(self, *, app: Any = None, consumers: Sequence[Consumer] = (), finish: Sequence[Step] = ()) -> Process:
        """Return the process: ready while Redis, Kafka and the consumers are.

        At its end the consumers drain, then come the steps of `finish`. Then the connections are closed, unless there
        is an application: its last requests still need them, and the end of the process closes them as well.
        """
        process = Process(self.contract, app=app)
        process.check("redis", _answers(self.state.ping))
        process.check("kafka", _answers(self.bus.ping))
        if consumers:
            WORK_IN_FLIGHT.labels("message").set_function(lambda: sum(consumer.in_flight for consumer in consumers))
        for number, consumer in enumerate(consumers):
            name = "consumer" if number == 0 else f"consumer-{number + 1}"
            process.check(name, _ready(consumer))
            process.task(name, consumer.run)
            process.on_shutdown(consumer.drain)
        for step in finish:
            process.on_shutdown(step)
        if app is None:
            process.on_shutdown(self._close)
        return process

    async def _close(self, seconds: float) -> None:
        # A connection that does not close is closed by the end of the process.
        for connection in (self.bus, self.state):
            with contextlib.suppress(Unavailable):
                await connection.close()


def workflows(contract: Contract) -> Catalogue:
    """Return the workflows that the stack mounts.

    Raises:
        ContractError: it mounts none, or none that can be read: without them every task would fail.
    """
    if contract.workflows_dir is None:
        raise ContractError(["WORKFLOWS_DIR: missing; say `uses: [workflows]` in the agent's file"])
    catalogue = Catalogue(contract.workflows_dir)
    if not catalogue.names:
        raise ContractError(["WORKFLOWS_DIR: no workflows in that folder that could be read; the log has the reason"])
    return catalogue


class _Metrics:
    """The consumer's counts, under the names of the contract."""

    def outcome(self, topic: str, outcome: str) -> None:
        MESSAGES.labels(topic, outcome).inc()

    def queue_wait(self, topic: str, seconds: float) -> None:
        QUEUE_WAIT.labels(topic).observe(seconds)


def _traced(handler: Callable[[Message], Awaitable[None]]) -> Callable[[Message], Awaitable[None]]:
    """Return `handler`, in the trace of each message, and with its ids in the log."""

    async def handle(message: Message) -> None:
        ids = bind(correlation_id=message.correlation_id, task_id=message.subject)
        with continue_trace(message.traceparent), ids:
            await handler(message)

    return handle


def _answers(ping: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[str | None]]:
    async def probe() -> str | None:
        try:
            await ping()
        except Unavailable as error:
            return str(error) or "does not answer"
        return None

    return probe


def _ready(consumer: Consumer) -> Callable[[], Awaitable[str | None]]:
    async def probe() -> str | None:
        return consumer.ready()

    return probe
