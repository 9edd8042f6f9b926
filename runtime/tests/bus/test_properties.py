"""Whatever happens to the members of a group, nothing is lost, reordered, or committed before it is done."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from agentstack_runtime.bus import Consumer, Message, Partition, Reject, Unavailable, original
from agentstack_runtime.bus.memory import Fault, MemoryBus

from .fast import run
from .test_consumer import DEAD, TOPIC, Limits, messages

LIMITS = Limits(max=2, backoff=timedelta(milliseconds=50), max_backoff=timedelta(milliseconds=200))

ATTEMPTS = st.lists(
    st.sampled_from(["fails", "waits", "rejects", "works"]), max_size=4
)  # of one message, in turn; afterwards it works
HAPPENINGS = st.lists(
    st.tuples(st.sampled_from(["join", "crash", "leave", "rebalance", "outage"]), st.floats(0, 3)), max_size=8
)


class Watched(dict[tuple[str, Partition], int]):
    """What is committed; looks at every commit."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    def __setitem__(self, key: tuple[str, Partition], offset: int) -> None:
        self.world.look(key[1], offset)
        if offset < self.get(key, 0):
            self.world.passed.append(f"{key[1]}: back from {self[key]} to {offset}")
        super().__setitem__(key, offset)


class World:
    def __init__(self, keys: list[str], attempts: list[list[str]], faults: list[Fault | None]) -> None:
        self.bus = MemoryBus()
        self.bus.committed = Watched(self)
        self.sent = messages(*keys)
        self.attempts = {m.id: list(each) for m, each in zip(self.sent, attempts, strict=False)}
        self.faults = faults
        self.effects: list[str] = []
        self.passed: list[str] = []
        self.members: list[tuple[Consumer, asyncio.Task[None]]] = []

    def look(self, partition: Partition, offset: int) -> None:
        done = {*self.effects, *self.letters()}
        undone = [r for r in self.bus.records(partition)[:offset] if dict(r.headers)["ce_id"].decode() not in done]  # type: ignore[union-attr]
        self.passed += [f"{partition}:{record.offset} before {offset}" for record in undone]

    def letters(self) -> set[str]:
        return {dict(original(letter).headers)["ce_id"].decode() for letter in self.bus.messages(DEAD)}  # type: ignore[union-attr]

    async def handle(self, message: Message) -> None:
        turns = self.attempts.get(message.id)
        turn = turns.pop(0) if turns else "works"
        await asyncio.sleep(0.01 * (1 + int(message.id) % 7))
        if turn == "fails":
            raise ValueError(turn)
        if turn == "waits":
            raise Unavailable(turn)
        if turn == "rejects":
            raise Reject(turn)
        self.effects.append(message.id)

    async def join(self) -> None:
        given: dict[str, Any] = {"concurrency": 3, "queue_bound": 6, "retries": LIMITS, "dead_letter_topic": DEAD}
        member = Consumer(self.bus, [TOPIC], "g", self.handle, **given)
        self.members.append((member, asyncio.create_task(member.run())))
        await asyncio.sleep(0)

    async def crash(self) -> None:
        if self.members:
            member, task = self.members.pop(0)
            member._subscription.gone = True  # type: ignore[attr-defined]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.bus.crash(member._subscription)  # type: ignore[arg-type]

    async def leave(self) -> None:
        if self.members:
            member, task = self.members.pop(0)
            await member.drain(1)
            await task

    async def rebalance(self) -> None:
        await self.bus.rebalance("g")

    async def outage(self) -> None:
        self.bus.down = True
        await asyncio.sleep(1)
        self.bus.down = False

    async def live(self, happenings: list[tuple[str, float]]) -> None:
        await self.join()
        await self.bus.publish(TOPIC, *self.sent)
        self.bus.faults.extend(self.faults)
        for name, delay in happenings:
            await getattr(self, name)()
            await asyncio.sleep(delay * 0.1)
        await self.join()
        await asyncio.sleep(60)
        for member, task in self.members:
            assert member.ready() is None
            assert member.in_flight == 0
            await member.drain(1)
            await task


@settings(max_examples=100, deadline=None)
@given(
    keys=st.lists(st.sampled_from("abcd"), min_size=1, max_size=24),
    attempts=st.lists(ATTEMPTS, max_size=24),
    faults=st.lists(st.sampled_from(["refused", "unacknowledged", "twice", None]), max_size=3),
    happenings=HAPPENINGS,
)
def test_at_least_once_in_order_and_no_commit_too_early(
    keys: list[str], attempts: list[list[str]], faults: list[Fault | None], happenings: list[tuple[str, float]]
) -> None:
    world = World(keys, attempts, faults)
    run(world.live(happenings))
    letters = world.letters()
    assert world.passed == []
    assert {*world.effects, *letters} == {message.id for message in world.sent}
    firsts = list(dict.fromkeys(world.effects))
    for key in set(keys):
        expected = [message.id for message in world.sent if message.key == key and message.id in world.effects]
        mine = [each for each in firsts if each in expected]
        # A letter of a crashed member may be followed by the effect of the next one: such have no place in the order.
        assert [each for each in mine if each not in letters] == [each for each in expected if each not in letters]
    assert sum(world.bus.committed.values()) == len(world.sent)
    event(f"again: {len(world.effects) > len(firsts)}, letters: {bool(letters)}")
