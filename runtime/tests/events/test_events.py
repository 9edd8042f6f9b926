"""The same events give the same state: once or twice, from a log or from a snapshot and the rest."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentstack_runtime import events
from agentstack_runtime.bus import Message
from agentstack_runtime.bus.memory import MemoryBus
from agentstack_runtime.events import Fold, Folded


@dataclass(frozen=True)
class Account:
    balance: int = 0
    lines: tuple[int, ...] = ()


class Balance(Fold[Account, int]):
    """Order matters to it: it keeps the lines."""

    def initial(self) -> Account:
        return Account()

    def event(self, message: Message) -> int | None:
        return message.data["amount"] if message.type == "paid" else None  # type: ignore[return-value]

    def apply(self, state: Account, event: int) -> Account:
        return replace(state, balance=state.balance + event, lines=(*state.lines, event))

    def dump(self, state: Account) -> Any:
        return {"balance": state.balance, "lines": list(state.lines)}

    def load(self, value: Any) -> Account:
        return Account(value["balance"], tuple(value["lines"]))


@dataclass(frozen=True)
class Kept:
    value: Any
    version: int


class Store:
    """The two calls of a state that snapshots make; through JSON, as a real one."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], Kept] = {}

    async def put(self, conversation: str, name: str, value: Any, *, expected: int | None = None) -> int:
        before = self.values.get((conversation, name), Kept(None, 0)).version
        if expected is not None and expected != before:
            raise AssertionError("conflict")
        self.values[conversation, name] = Kept(json.loads(json.dumps(value)), before + 1)
        return before + 1

    async def get(self, conversation: str, name: str) -> Kept | None:
        return self.values.get((conversation, name))


FOLD = Balance()
MESSAGES = st.lists(
    st.builds(
        lambda n, kind: Message(type=kind, data={"amount": n}, key="c", id=f"{kind}-{n}"),
        st.integers(-5, 5),
        st.sampled_from(["paid", "seen"]),
    )
)


def paid(*amounts: int, key: str = "c") -> list[Message]:
    return [Message(type="paid", data={"amount": n}, key=key, id=f"{key}-{n}") for n in amounts]


def test_it_adds_up() -> None:
    assert FOLD.replay([]) == Account()
    assert FOLD.replay([*paid(1, 2), Message(type="other", data={}, key="c")]) == Account(3, (1, 2))


@given(MESSAGES)
def test_what_comes_again_changes_nothing(messages: list[Message]) -> None:
    once = FOLD.add(FOLD.start(), *messages)
    assert FOLD.add(once, *messages) is once
    assert FOLD.replay([*messages, *messages]) == once.state == FOLD.replay(messages)


@given(MESSAGES, st.data())
def test_a_snapshot_and_the_rest_are_the_whole(messages: list[Message], data: st.DataObject) -> None:
    async def run() -> None:
        at, again = data.draw(st.integers(0, len(messages))), data.draw(st.integers(0, len(messages)))
        store: Any = Store()
        await events.save(FOLD, FOLD.add(FOLD.start(), *messages[:at]), store, "c", "balance", expected=0)
        folded, version = await events.restore(FOLD, store, "c", "balance")
        assert version == 1
        assert FOLD.add(folded, *messages[min(at, again) :]) == FOLD.add(FOLD.start(), *messages)

    asyncio.run(run())


async def test_from_a_log() -> None:
    bus = MemoryBus()
    await bus.publish("events", *paid(1, 2), *paid(10, key="d"))
    bus.faults.append("twice")
    await bus.publish("events", *paid(3))

    def mine(message: Message) -> bool:
        return message.key == "c"

    once = await events.replay(FOLD, bus, "events", of=mine)
    assert once.state == Account(6, (1, 2, 3))
    assert await events.replay(FOLD, bus, "events", of=mine, onto=once) == once
    assert (await events.replay(FOLD, bus, "events")).state.balance == 16


async def test_without_a_snapshot_there_is_the_begin() -> None:
    store: Any = Store()
    assert await events.restore(FOLD, store, "c", "balance") == (Folded(Account()), 0)


async def test_what_somebody_else_keeps_there_is_not_taken_for_a_snapshot() -> None:
    store: Any = Store()
    await store.put("c", "balance", "hunter2")
    with pytest.raises(ValueError, match="no snapshot") as caught:
        await events.restore(FOLD, store, "c", "balance")
    assert "hunter2" not in str(caught.value)
