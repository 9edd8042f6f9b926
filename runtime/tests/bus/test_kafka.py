"""What the bus makes of a client that gives up; the rest of it is tested against a real broker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from agentstack_runtime.bus import Message, Unavailable, kafka
from tests.real.settings import settings


class Fatal:
    """A producer after a fatal error: it takes one more message, raises once from `poll`, and refuses all others.

    So does librdkafka 2.16 after `rd_kafka_test_fatal_error`. What it took is reported when it is purged.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.reports: list[Callable[[KafkaError | None, None], None]] = []
        self.purged = self.raised = False

    def produce(self, *_: Any, on_delivery: Callable[[KafkaError | None, None], None], **__: Any) -> None:
        if self.reports:
            raise KafkaException(KafkaError(KafkaError._FATAL))
        self.reports.append(on_delivery)

    def poll(self, seconds: float) -> None:
        if self.reports and not self.raised:
            self.raised = True
            raise KafkaException(KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "out of order", True))

    def purge(self) -> None:
        self.purged = True

    def flush(self, seconds: float) -> None:
        if self.purged:
            for report in self.reports:
                report(KafkaError(KafkaError._PURGE_QUEUE), None)


class Sound(Fatal):
    def produce(self, *_: Any, on_delivery: Callable[[KafkaError | None, None], None], **__: Any) -> None:
        on_delivery(None, None)

    def poll(self, seconds: float) -> None: ...


@pytest.mark.parametrize("at_a_time", [1, 2])
async def test_a_producer_that_gave_up_is_replaced(monkeypatch: pytest.MonkeyPatch, at_a_time: int) -> None:
    made = iter([Fatal, Sound])
    monkeypatch.setattr(kafka, "Producer", lambda settings: next(made)(settings))
    bus = kafka.KafkaBus(settings("nowhere:9092"), client_id="tests")
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable, match="not delivered"):
            await bus.publish("events", *(Message(type="t", data={}, key="k") for _ in range(at_a_time)))
        await bus.publish("events", Message(type="t", data={}, key="k"))
    await bus.close()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> logging.Logger:
    """The client's log, as at the start of the process."""
    found = logging.getLogger("agentstack_runtime.bus.kafka.client")
    for each in found.filters:
        monkeypatch.setattr(each, "_last", {})
    return found


def test_the_client_complains_once_of_a_kind(log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    for kind in ("FAIL", "REQTMOUT"):
        for n in range(100):
            log.error("%s [tests#%d] no answer", kind, n)
    assert [line.split()[0] for line in caplog.messages] == ["FAIL", "REQTMOUT"]


async def test_a_broker_that_is_not_there_is_logged_once(
    log: logging.Logger, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "ANSWER_SECONDS", 1)
    bus = kafka.KafkaBus(settings("127.0.0.1:9"), client_id="tests")
    with pytest.raises(Unavailable):
        await bus.ping()
    await bus.close()
    assert len([line for line in caplog.messages if "refused" in line]) == 1
