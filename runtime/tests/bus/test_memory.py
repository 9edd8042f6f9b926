"""The bus in memory does what a broker does, and the faults that are asked of it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

import pytest

from agentstack_runtime.bus import Message, Partition, Unavailable
from agentstack_runtime.bus.memory import MemoryBus, MemorySubscription


def message(key: str, number: int = 0) -> Message:
    return Message(type="t", data={"n": number}, key=key)


async def nothing(partitions: Collection[Partition], lost: bool) -> Mapping[Partition, int]:
    return {}


async def member(bus: MemoryBus) -> MemorySubscription:
    joined = bus.subscribe(["a"], "g")
    await joined.start(nothing)
    return joined


def test_keys_keep_their_order_and_partition() -> None:
    async def run() -> None:
        bus = MemoryBus()
        await bus.publish("a", *(message(key, n) for n in range(5) for key in "xyz"))
        for key in "xyz":
            assert [m.data["n"] for m in bus.messages("a") if m.key == key] == list(range(5))
        assert [m async for m in bus.read("a")] == bus.messages("a")

    asyncio.run(run())


def test_faults_come_in_turn() -> None:
    async def run() -> None:
        bus = MemoryBus()
        bus.faults.extend(["refused", None, "unacknowledged", "twice"])
        with pytest.raises(Unavailable):
            await bus.publish("a", message("x", 1))
        await bus.publish("a", message("x", 2))
        with pytest.raises(Unavailable):
            await bus.publish("a", message("x", 3))
        await bus.publish("a", message("x", 4))
        await bus.publish("a", message("x", 5))
        assert [m.data["n"] for m in bus.messages("a")] == [2, 3, 4, 4, 5]

    asyncio.run(run())


def test_while_it_is_down_nothing_answers() -> None:
    async def run() -> None:
        bus = MemoryBus()
        joined = await member(bus)
        await bus.publish("a", message("x"))
        bus.down = True
        with pytest.raises(Unavailable):
            await bus.ping()
        with pytest.raises(Unavailable):
            await joined.commit({Partition("a", 0): 1})
        assert await joined.poll(0.01, 9) == []
        assert joined.ready()
        bus.down = False
        assert len(await joined.poll(0.01, 9)) == 1
        assert joined.ready() is None

    asyncio.run(run())


def test_what_a_dead_member_did_not_commit_comes_again() -> None:
    async def run() -> None:
        bus = MemoryBus()
        first = await member(bus)
        await bus.publish("a", *(message(key) for key in "abcdef"))
        taken = await first.poll(0.1, 99)
        assert len(taken) == 6
        second = await member(bus)
        assert first.assigned | second.assigned == set(bus.partitions("a"))
        assert not first.assigned & second.assigned
        await first.commit({record.partition: record.offset + 1 for record in taken})
        kept = first.assigned
        await bus.crash(first)
        assert second.assigned == set(bus.partitions("a"))
        # What moved to the second member before the commit was not the first's to commit any more.
        assert list(await second.poll(0.1, 99)) == [record for record in taken if record.partition not in kept]

    asyncio.run(run())


def test_a_paused_partition_brings_nothing() -> None:
    async def run() -> None:
        bus = MemoryBus(partitions=1)
        joined = await member(bus)
        await bus.publish("a", message("x", 1), message("x", 2))
        assert len(await joined.poll(0.1, 1)) == 1
        await joined.pause(bus.partitions("a"))
        assert await joined.poll(0.01, 1) == []
        await joined.pause([])
        assert len(await joined.poll(0.1, 1)) == 1

    asyncio.run(run())
