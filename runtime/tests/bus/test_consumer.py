"""What the loop promises, over the bus in memory and with a clock that jumps."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentstack_runtime.bus import Consumer, Message, Partition, Reject, Unavailable, original
from agentstack_runtime.bus.memory import MemoryBus, MemorySubscription
from agentstack_runtime.bus.messages import encode

from .fast import run

TOPIC, DEAD = "events", "dead-letters"


@dataclass(frozen=True)
class Limits:
    max: int = 2
    backoff: timedelta = timedelta(seconds=1)
    max_backoff: timedelta = timedelta(seconds=30)


@dataclass
class Counted:
    outcomes: list[tuple[str, str]] = field(default_factory=list)
    waits: list[tuple[str, float]] = field(default_factory=list)

    def outcome(self, topic: str, outcome: str) -> None:
        self.outcomes.append((topic, outcome))

    def queue_wait(self, topic: str, seconds: float) -> None:
        self.waits.append((topic, seconds))


Handler = Callable[[Message], Awaitable[None]]


def consumer(bus: MemoryBus, handler: Handler, **changed: Any) -> Consumer:
    given: dict[str, Any] = {
        "concurrency": 8,
        "queue_bound": 64,
        "retries": Limits(),
        "dead_letter_topic": DEAD,
        **changed,
    }
    return Consumer(bus, [TOPIC], "g", handler, **given)


@contextlib.asynccontextmanager
async def running(*consumers: Consumer) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.create_task(each.run()) for each in consumers]
    await asyncio.sleep(0)
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def messages(*keys: str) -> list[Message]:
    return [Message(type="t", data={"n": n}, key=key, id=str(n)) for n, key in enumerate(keys)]


def committed(bus: MemoryBus, topic: str = TOPIC) -> int:
    """How many messages are committed, over all partitions."""
    return sum(bus.committed.get(("g", partition), 0) for partition in bus.partitions(topic))


def now() -> float:
    return asyncio.get_running_loop().time()


async def settled(seconds: float = 1.0) -> None:
    await asyncio.sleep(seconds)


def test_one_key_in_order_the_others_at_a_time() -> None:
    async def main() -> None:
        bus, spans, running_now, most = MemoryBus(), [], 0, 0

        async def handler(message: Message) -> None:
            nonlocal running_now, most
            running_now += 1
            most = max(most, running_now)
            begin = now()
            await asyncio.sleep(1)
            running_now -= 1
            spans.append((message.key, message.data["n"], begin, now()))

        counted = Counted()
        await bus.publish(TOPIC, *messages(*"abcdefabcdefabcde"))
        await bus.publish(
            TOPIC, Message(type="t", data={"n": 17}, key="f", time=datetime.now(UTC) - timedelta(hours=1))
        )
        async with running(consumer(bus, handler, concurrency=4, metrics=counted)):
            await settled(10)
        assert len(spans) == 18
        assert most == 4
        for key in "abcdef":
            mine = [span for span in spans if span[0] == key]
            assert mine == sorted(mine, key=lambda span: span[1])
            assert all(earlier[3] <= later[2] for earlier, later in itertools.pairwise(mine))
        assert committed(bus) == 18
        assert counted.outcomes == [(TOPIC, "done")] * 18
        assert len(counted.waits) == 18
        assert max(counted.waits)[1] >= 3600

    run(main())


def test_nothing_is_committed_before_all_before_it_is_done() -> None:
    async def main() -> None:
        bus, gate = MemoryBus(partitions=1), asyncio.Event()

        async def handler(message: Message) -> None:
            if message.data["n"] == 1:
                await gate.wait()

        await bus.publish(TOPIC, *messages(*"abcd"))
        async with running(consumer(bus, handler)) as _:
            await settled()
            assert committed(bus) == 1
            gate.set()
            await settled()
            assert committed(bus) == 4

    run(main())


def test_a_dependency_that_does_not_answer_is_waited_for() -> None:
    async def main() -> None:
        bus, up, attempts, done = MemoryBus(), False, 0, []

        async def handler(message: Message) -> None:
            nonlocal attempts
            if message.key == "a" and not up:
                attempts += 1
                raise Unavailable("redis: no answer")
            done.append(message.key)

        await bus.publish(TOPIC, *messages(*"abcdef"))
        tested = consumer(bus, handler)
        async with running(tested):
            await settled(3600)
            [member] = bus.members("g")
            assert attempts > 100
            assert member.paused == {p for p in bus.partitions(TOPIC) if any(r.key == b"a" for r in bus.records(p))}
            assert sorted(done) == list("bcdef")
            assert tested.ready() is None
            assert tested.in_flight == 1
            up = True
            await settled(31)
            assert sorted(done) == list("abcdef")
            assert member.paused == frozenset()
            assert committed(bus) == 6
        assert bus.messages(DEAD) == []

    run(main())


def test_several_dependencies_at_once_are_waited_for_too() -> None:
    async def main() -> None:
        bus, attempts = MemoryBus(), 0

        async def handler(message: Message) -> None:
            nonlocal attempts
            attempts += 1
            if attempts < 9:
                raise ExceptionGroup("both", [Unavailable("redis"), ExceptionGroup("in", [Unavailable("kafka")])])

        await bus.publish(TOPIC, *messages("a"))
        async with running(consumer(bus, handler)):
            await settled(600)
        assert attempts == 9
        assert bus.messages(DEAD) == []

    run(main())


def test_a_rejected_message_is_a_dead_letter_at_once() -> None:
    async def main() -> None:
        bus, attempts, told = MemoryBus(), 0, []

        async def handler(message: Message) -> None:
            nonlocal attempts
            attempts += 1
            raise Reject("no such workflow")

        async def tell(message: Message, reason: str) -> None:
            told.append((message.id, reason, committed(bus)))

        await bus.publish(TOPIC, *messages("a"))
        async with running(consumer(bus, handler, on_dead_letter=tell)):
            await settled()
        assert attempts == 1
        [letter] = bus.messages(DEAD)
        assert letter.data["reason"] == "no such workflow"
        assert original(letter) == next(r for p in bus.partitions(TOPIC) for r in bus.records(p))
        assert told == [("0", "no such workflow", 0)]
        assert committed(bus) == 1

    run(main())


def failing(kind: str) -> BaseException:
    if kind == "cancelled":
        return asyncio.CancelledError()  # what comes out of awaiting somebody else's cancelled task
    return ValueError("password=hunter2")


@pytest.mark.parametrize("kind", ["ValueError", "cancelled"])
def test_other_failures_are_tried_again_and_then_a_dead_letter(kind: str) -> None:
    async def main() -> None:
        bus, times = MemoryBus(partitions=1), []

        async def handler(message: Message) -> None:
            if message.key == "a":
                times.append(now())
                raise failing(kind)

        counted = Counted()
        await bus.publish(TOPIC, *messages("a", "b", "a"))
        limits = Limits(max=3, max_backoff=timedelta(seconds=2))
        async with running(consumer(bus, handler, retries=limits, metrics=counted)):
            await settled(100)
        gaps = [end - begin for begin, end in itertools.pairwise(times[:4])]
        assert len(times) == 8
        for gap, (least, most) in zip(gaps, [(0.5, 1), (1, 2), (1, 2)], strict=True):
            assert least <= gap <= most + 0.001
        letters = bus.messages(DEAD)
        assert [original(letter).offset for letter in letters] == [0, 2]
        assert "in each of 4 attempts" in str(letters[0].data["reason"])
        assert "test_consumer.py:" in str(letters[0].data["reason"])
        assert "hunter2" not in str(letters)
        assert committed(bus) == 3
        assert counted.outcomes.count((TOPIC, "dead")) == 2
        assert counted.outcomes.count((TOPIC, "retried")) == 6

    run(main())


def test_a_record_that_is_no_cloudevent_blocks_nothing() -> None:
    async def main() -> None:
        bus, done = MemoryBus(partitions=1), []

        async def handler(message: Message) -> None:
            done.append(message.id)

        await bus.put(TOPIC, b"a", b"\xff\x00 no JSON", {"x": b"\xfe"})
        await bus.put(TOPIC, None, None)
        await bus.put(TOPIC, b"a", b"[" * 100_000, encode(messages("a")[0], source="s")[2])
        await bus.publish(TOPIC, *messages("a"))
        async with running(consumer(bus, handler)):
            await settled()
        assert done == ["0"]
        assert [original(letter) for letter in bus.messages(DEAD)] == bus.records(Partition(TOPIC, 0))[:3]
        assert committed(bus) == 4

    run(main())


def test_a_letter_is_not_lost_while_its_topic_does_not_answer() -> None:
    async def main() -> None:
        bus, told = MemoryBus(), 0

        async def handler(message: Message) -> None:
            raise Reject("never")

        async def tell(message: Message, reason: str) -> None:
            nonlocal told
            told += 1
            if told < 5:
                raise Unavailable("redis")

        await bus.publish(TOPIC, *messages("a"))
        bus.faults.extend(["refused"] * 20 + ["unacknowledged"])
        async with running(consumer(bus, handler, on_dead_letter=tell)):
            await settled(60)
            assert committed(bus) == 0
            assert told == 0
            await settled(3600)
        assert len({letter.id for letter in bus.messages(DEAD)}) == 1
        assert told == 5
        assert committed(bus) == 1

    run(main())


def test_a_hook_that_fails_does_not_hold_up_the_rest() -> None:
    async def main() -> None:
        bus = MemoryBus()

        async def handler(message: Message) -> None:
            raise Reject("never")

        async def tell(message: Message, reason: str) -> None:
            raise Reject("what should I do with it")

        await bus.publish(TOPIC, *messages(*"abc"))
        async with running(consumer(bus, handler, on_dead_letter=tell)):
            await settled()
        assert committed(bus) == 3

    run(main())


def test_a_letter_that_is_too_large_goes_without_the_original() -> None:
    class Small(MemoryBus):
        async def publish(self, topic: str, *messages: Message) -> None:
            if topic == DEAD and messages[0].data["original_base64"] is not None:
                raise Reject("too large")
            await super().publish(topic, *messages)

    async def main() -> None:
        bus = Small()

        async def handler(message: Message) -> None:
            raise Reject("never")

        await bus.publish(TOPIC, *messages("a"))
        async with running(consumer(bus, handler)):
            await settled()
        [letter] = bus.messages(DEAD)
        assert letter.data["reason"] == "too large to carry: never"
        assert letter.data["offset"] == 0
        assert committed(bus) == 1

    run(main())


def test_without_a_topic_for_it_what_cannot_be_handled_is_passed_over() -> None:
    async def main() -> None:
        bus = MemoryBus()

        async def handler(message: Message) -> None:
            raise Reject("never")

        await bus.publish(TOPIC, *messages("a"))
        counted = Counted()
        async with running(consumer(bus, handler, dead_letter_topic=None, metrics=counted)):
            await settled()
        assert counted.outcomes == [(TOPIC, "dropped")]
        assert committed(bus) == 1

    run(main())


def test_it_takes_no_more_than_its_bound() -> None:
    async def main() -> None:
        bus, done = MemoryBus(), 0
        counts: list[int] = []

        async def handler(message: Message) -> None:
            nonlocal done
            counts.append(tested.in_flight)
            await asyncio.sleep(1)
            done += 1

        await bus.publish(TOPIC, *messages(*(str(n) for n in range(100))))
        tested = consumer(bus, handler, concurrency=2, queue_bound=10)
        async with running(tested):
            await settled(2)
            [member] = bus.members("g")
            assert member.paused == member.assigned
            await settled(100)
            assert done == 100
            assert member.paused == frozenset()
        assert max(counts) == 10

    run(main())


def test_drain_waits_for_what_is_in_flight_and_leaves() -> None:
    async def main() -> None:
        bus, done = MemoryBus(), []

        async def handler(message: Message) -> None:
            await asyncio.sleep(3)
            done.append(message.id)

        await bus.publish(TOPIC, *messages(*"abc"))
        tested = consumer(bus, handler)
        async with running(tested) as [task]:
            await settled()
            begin = now()
            draining = asyncio.create_task(tested.drain(30))
            await asyncio.sleep(0.5)
            assert tested.ready() == "the consumer is leaving"
            await bus.publish(TOPIC, *messages(*"xyz"))
            await draining
            assert now() - begin < 3
            assert bus.members("g") == []
            await task
        assert len(done) == 3
        assert committed(bus) == 3
        assert tested.ready() == "the consumer has ended"

    run(main())


def test_drain_cancels_what_takes_too_long_and_commits_none_of_it() -> None:
    async def main() -> None:
        bus, cancelled, again = MemoryBus(partitions=1), [], []

        async def handler(message: Message) -> None:
            try:
                await asyncio.sleep(0 if message.key == "a" else 100)
            except asyncio.CancelledError:
                cancelled.append(message.key)
                raise

        async def other(message: Message) -> None:
            again.append(message.key)

        await bus.publish(TOPIC, *messages(*"abc"))
        tested = consumer(bus, handler)
        async with running(tested) as [task]:
            await settled()
            begin = now()
            await tested.drain(10)
            assert 7.9 <= now() - begin <= 10
            await task
        assert sorted(cancelled) == ["b", "c"]
        assert committed(bus) == 1
        async with running(consumer(bus, other)):
            await settled()
        assert again == ["b", "c"]

    run(main())


def test_drain_is_over_in_time_even_where_the_broker_hangs_and_the_handler_will_not_end() -> None:
    class Hangs(MemorySubscription):
        async def close(self) -> None:
            await asyncio.sleep(1000)

    class Bus(MemoryBus):
        def subscribe(self, topics: Any, group: str) -> Hangs:
            return Hangs(self, topics, group)

    async def main() -> None:
        bus = Bus()

        async def handler(message: Message) -> None:
            for _ in range(20):
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(1)

        await bus.publish(TOPIC, *messages("a"))
        tested = consumer(bus, handler)
        async with running(tested):
            await settled()
            begin = now()
            await tested.drain(5)
            assert now() - begin <= 5.01
        assert committed(bus) == 0

    run(main())


@pytest.mark.parametrize("call", ["poll", "commit", "close"])
def test_a_call_that_hangs_keeps_nobody_from_leaving_in_time(call: str) -> None:
    hangs = False

    async def hanging(self: Any, *given: Any) -> Any:
        if hangs:
            await asyncio.sleep(1000)
        return await getattr(MemorySubscription, call)(self, *given)

    class Bus(MemoryBus):
        def subscribe(self, topics: Any, group: str) -> MemorySubscription:
            return type("Hangs", (MemorySubscription,), {call: hanging})(self, topics, group)  # type: ignore[no-any-return]

    async def main() -> None:
        nonlocal hangs

        async def handler(message: Message) -> None: ...

        for ends in ("drained", "cancelled"):
            hangs = False
            bus = Bus()
            tested = consumer(bus, handler)
            task = asyncio.create_task(tested.run())
            await settled()
            hangs = True
            await bus.publish(TOPIC, *messages("a"))
            await settled()
            begin = now()
            if ends == "drained":
                await tested.drain(5)
                await task  # raises nothing: to end is what it was asked for
            else:
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert now() - begin <= 5.01
            assert tested.ready() == "the consumer has ended"

    run(main())


def test_draining_what_never_ran_or_has_ended_does_nothing() -> None:
    async def main() -> None:
        async def handler(message: Message) -> None: ...

        tested = consumer(MemoryBus(), handler)
        assert tested.ready() == "the consumer has not started"
        await tested.drain(1)
        await tested.drain(1)
        with pytest.raises(RuntimeError, match="runs once"):
            await tested.run()

    run(main())


def test_a_bus_that_does_not_answer_is_waited_for() -> None:
    class Flaky(MemorySubscription):
        async def poll(self, seconds: float, limit: int) -> Any:
            self._bus._answer()
            return await super().poll(seconds, limit)

    class Bus(MemoryBus):
        def subscribe(self, topics: Any, group: str) -> Flaky:
            return Flaky(self, topics, group)

    async def main() -> None:
        bus, done = Bus(), []

        async def handler(message: Message) -> None:
            done.append(message.id)

        tested = consumer(bus, handler)
        async with running(tested) as [task]:
            await settled()
            assert tested.ready() is None
            await bus.publish(TOPIC, *messages("a"))
            bus.down = True
            await settled(3600)
            assert tested.ready() == "bus: switched off"
            assert not task.done()
            bus.down = False
            await settled(2)
            assert tested.ready() is None
        assert done == ["0"]
        assert committed(bus) == 1

    run(main())


def test_a_bus_that_breaks_its_word_ends_the_loop_loudly() -> None:
    class Broken(MemorySubscription):
        async def poll(self, seconds: float, limit: int) -> Any:
            raise KeyError("poll")

    class Bus(MemoryBus):
        def subscribe(self, topics: Any, group: str) -> Broken:
            return Broken(self, topics, group)

    async def main() -> None:
        async def handler(message: Message) -> None: ...

        bus = Bus()
        with pytest.raises(ExceptionGroup) as caught:
            await consumer(bus, handler).run()
        assert caught.group_contains(KeyError)
        assert bus.members("g") == []

    run(main())


def test_what_runs_in_a_partition_that_moves_is_finished_and_committed() -> None:
    async def main() -> None:
        bus, done = MemoryBus(partitions=1), []

        def handler(name: str) -> Handler:
            async def handle(message: Message) -> None:
                await asyncio.sleep(2)
                done.append((name, message.id))

            return handle

        await bus.publish(TOPIC, *messages("a", "b", "a"))
        first, second = consumer(bus, handler("first")), consumer(bus, handler("second"))
        async with running(first):
            await settled(0.5)
            async with running(second):
                await bus.rebalance("g")
                await settled(10)
        assert sorted(done) == [("first", "0"), ("first", "1"), ("second", "2")]
        assert committed(bus) == 3

    run(main())


def test_what_runs_too_long_in_a_partition_that_moves_is_dropped() -> None:
    async def main() -> None:
        bus, done = MemoryBus(partitions=1), []

        def handler(name: str, seconds: float) -> Handler:
            async def handle(message: Message) -> None:
                await asyncio.sleep(seconds)
                done.append((name, message.id))

            return handle

        await bus.publish(TOPIC, *messages("a"))
        first, second = consumer(bus, handler("first", 60)), consumer(bus, handler("second", 0))
        async with running(first):
            await settled(0.5)
            async with running(second):
                await bus.rebalance("g")
                await settled(100)
                assert first.in_flight == 0
        assert done == [("second", "0")]

    run(main())


def test_bounds_of_nothing_are_refused() -> None:
    async def main() -> None:
        async def handler(message: Message) -> None: ...

        with pytest.raises(ValueError, match="1 or more"):
            consumer(MemoryBus(), handler, concurrency=0)
        with pytest.raises(ValueError, match="1 or more"):
            consumer(MemoryBus(), handler, queue_bound=0)

    run(main())
