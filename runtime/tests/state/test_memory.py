"""State in the process, as any other; and its times, by a clock of the test's."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from agentstack_runtime.state import Conflict, Fenced, Lease, State
from agentstack_runtime.state.memory import MemoryState
from state_contract import StateContract


@pytest.fixture
def state() -> State:
    return MemoryState()


class TestMemory(StateContract):
    pass


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_everything_has_its_time() -> None:
    clock = Clock()
    state = MemoryState(clock=clock, conversation_ttl=timedelta(hours=24), checkpoint_ttl=timedelta(hours=72))
    hour = 3600
    await state.append("c", "a", 1)
    await state.put("c", "x", 1)
    await state.save("c", 1, expected=0)
    clock.now = 23 * hour
    await state.append("c", "b", 2)
    clock.now = 46 * hour
    assert await state.messages("c") == [1, 2], "24 hours from the last message"
    assert await state.get("c", "x") is None
    clock.now = 48 * hour
    assert await state.messages("c") == []
    assert await state.append("c", "a", 1) == 1, "ids are forgotten with their conversation"
    clock.now = 71 * hour
    assert await state.load("c") is not None
    clock.now = 73 * hour
    assert await state.load("c") is None
    assert await state.save("c", 1, expected=0) == 1


async def test_a_lease_ends_by_itself() -> None:
    clock = Clock()
    state = MemoryState(clock=clock)
    async with state.lock("c", "l", lease=timedelta(seconds=30)) as first:
        clock.now = 31  # The holder was paused.
        async with asyncio.timeout(1), state.lock("c", "l", lease=timedelta(seconds=30)) as second:
            assert second.token > first.token


class Machine(RuleBasedStateMachine):
    """Any sequence of commands, and of time that passes, against the simplest model there is."""

    conversations, places = st.sampled_from(["a", "b"]), st.sampled_from(["x", "y", "checkpoint"])
    versions = st.none() | st.integers(0, 3)

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.runner = Clock(), asyncio.Runner()
        self.state = MemoryState(
            clock=self.clock, conversation_ttl=timedelta(seconds=10), checkpoint_ttl=timedelta(seconds=30)
        )
        self.messages: dict[str, tuple[dict[str, int], float]] = {}
        self.values: dict[tuple[str, str], tuple[int, int, float]] = {}
        self.leases: list[Lease] = []
        self.held: dict[str, tuple[Lease, float]] = {}
        self.blocks: dict[int, Any] = {}

    def teardown(self) -> None:
        self.runner.close()

    def run(self, awaitable: Any) -> Any:
        async def await_it() -> Any:
            async with asyncio.timeout(0.02):
                return await awaitable

        return self.runner.run(await_it())

    @rule(seconds=st.integers(1, 12))
    def time_passes(self, seconds: int) -> None:
        self.clock.now += seconds

    @rule(c=conversations, id_=st.sampled_from("pqr"), value=st.integers(), expected=versions)
    def append(self, c: str, id_: str, value: int, expected: int | None) -> None:
        kept, until = self.messages.get(c, ({}, 0.0))
        if until <= self.clock.now:
            kept = {}
        fits = id_ in kept or expected in (None, len(kept))
        try:
            position = self.run(self.state.append(c, id_, value, expected=expected))
        except Conflict:
            assert not fits
        else:
            assert fits
            if id_ not in kept:
                kept[id_] = value
                self.messages[c] = kept, self.clock.now + 10
            assert position == list(kept).index(id_) + 1
        assert self.run(self.state.messages(c)) == list(kept.values())

    @rule(c=conversations)
    def take(self, c: str) -> None:
        _, until = self.held.get(c, (None, 0.0))
        block = self.state.lock(c, "l", lease=timedelta(seconds=20))
        try:
            lease = self.run(block.__aenter__())
        except TimeoutError:
            assert until > self.clock.now, "it waits for nobody"
        else:
            assert until <= self.clock.now, "two have the lock"
            assert all(lease.token > other.token for other in self.leases if other.conversation == c)
            self.leases.append(lease)
            self.held[c] = lease, self.clock.now + 20
            self.blocks[id(lease)] = block

    @precondition(lambda self: self.blocks)
    @rule(which=st.integers(0, 9))
    def leave(self, which: int) -> None:
        lease = [lease for lease in self.leases if id(lease) in self.blocks][which % len(self.blocks)]
        self.run(self.blocks.pop(id(lease)).__aexit__(None, None, None))
        assert lease.lost.is_set()
        # Who lost it before gives back nothing.
        if self.held.get(lease.conversation, (None, 0.0))[0] is lease:
            del self.held[lease.conversation]

    @rule(c=conversations, place=places, value=st.integers(), expected=versions, which=st.none() | st.integers(0, 9))
    def write(self, c: str, place: str, value: int, expected: int | None, which: int | None) -> None:
        leases = [lease for lease in self.leases if lease.conversation == c]
        fence = leases[which % len(leases)] if which is not None and leases else None
        _, version, until = self.values.get((c, place), (0, 0, 0.0))
        if until <= self.clock.now:
            version = 0
        checkpoint = place == "checkpoint"
        if checkpoint:
            expected = expected or 0
        try:
            if checkpoint:
                written = self.run(self.state.save(c, value, expected=expected or 0, fence=fence))
            else:
                written = self.run(self.state.put(c, place, value, expected=expected, fence=fence))
        except Fenced:
            assert fence is not None
            assert fence is not leases[-1], "the newest holder is refused"
        except Conflict:
            assert expected not in (None, version)
        else:
            assert fence in (None, leases[-1] if leases else None), "an old holder wrote"
            assert expected in (None, version)
            assert written == version + 1
            self.values[c, place] = value, written, self.clock.now + (30 if checkpoint else 10)
        got = self.run(self.state.load(c) if checkpoint else self.state.get(c, place))
        value, version, until = self.values.get((c, place), (0, 0, 0.0))
        assert (got and (got.value, got.version)) == ((value, version) if until > self.clock.now else None)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=50, stateful_step_count=25, deadline=None)
