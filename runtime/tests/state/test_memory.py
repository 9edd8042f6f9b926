"""State in the process, as any other; and its times, by a clock of the test's."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from agentstack_runtime.state import Conflict, State
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
    """Any sequence of commands against the simplest model there is."""

    conversations, names = st.sampled_from(["a", "b"]), st.sampled_from(["x", "y"])

    def __init__(self) -> None:
        super().__init__()
        self.state = MemoryState()
        self.messages: dict[str, dict[str, int]] = {"a": {}, "b": {}}
        self.values: dict[tuple[str, str], tuple[int, int]] = {}

    def run(self, awaitable: Any) -> Any:
        async def await_it() -> Any:
            return await awaitable

        return asyncio.run(await_it())

    @rule(c=conversations, id_=st.sampled_from("pqr"), value=st.integers(), expected=st.none() | st.integers(0, 3))
    def append(self, c: str, id_: str, value: int, expected: int | None) -> None:
        kept = self.messages[c]
        fits = id_ in kept or expected in (None, len(kept))
        try:
            position = self.run(self.state.append(c, id_, value, expected=expected))
        except Conflict:
            assert not fits
        else:
            assert fits
            kept.setdefault(id_, value)
            assert position == list(kept).index(id_) + 1
        assert self.run(self.state.messages(c)) == list(kept.values())

    @rule(c=conversations, name=names, value=st.integers(), expected=st.none() | st.integers(0, 3))
    def put(self, c: str, name: str, value: int, expected: int | None) -> None:
        _, version = self.values.get((c, name), (0, 0))
        try:
            written = self.run(self.state.put(c, name, value, expected=expected))
        except Conflict:
            assert expected not in (None, version)
        else:
            assert expected in (None, version)
            assert written == version + 1
            self.values[c, name] = value, written
        got = self.run(self.state.get(c, name))
        assert (got and (got.value, got.version)) == self.values.get((c, name))


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=50, deadline=None)
