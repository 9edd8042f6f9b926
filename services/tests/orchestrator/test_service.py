"""The orchestrator among crashes and other replicas: nothing is lost, whatever is said twice has one id."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentstack_runtime.bus import Message
from agentstack_runtime.bus.memory import MemoryBus
from agentstack_runtime.state.memory import MemoryState
from agentstack_services.domain.ids import input_name, task_name
from agentstack_services.domain.messages import RunStep, TaskFinished, TaskSubmitted, Trail, payload_of
from agentstack_services.orchestrator.conversation import Conversation
from agentstack_services.orchestrator.service import Orchestrator
from agentstack_services.state_manager.projection import TaskView
from agentstack_services.state_manager.service import StateManager
from tests.doubles import CONVERSATION, RESEARCH, Crash, CrashAt, Faulty, Published, clock, pick

from .test_conversation import result, submitted


class World:
    """Logs, replicas that read them, and messages that come again until they are handled."""

    def __init__(self, fault: Any = lambda place: None, *, replicas: int = 1, pause: Any = lambda: 0) -> None:
        self.state, self.log = MemoryState(), Published()
        state, bus = Faulty(self.state, fault, pause), Faulty(self.log, fault, pause)
        self.replicas = [Orchestrator(state, bus, clock=clock()) for _ in range(replicas)]
        self.handled: dict[str, int] = defaultdict(int)

    def waiting(self) -> list[Message]:
        """What was published for the orchestrator or the executor, and is not handled."""
        return [
            message for topic in ("events", "results", "tasks") for message in self.log.on(topic)[self.handled[topic] :]
        ]

    async def handle(self, message: Message, replica: int = 0) -> None:
        for _ in range(20):
            try:
                await self.replicas[replica % len(self.replicas)].handle(message)
            except Crash:
                continue  # The offset was not committed: it comes again.
            return
        raise AssertionError("it never got through")

    async def run(self, *events: TaskSubmitted) -> None:
        for event in events:
            await self.log.publish("events", event.to_message(source="ingestion", trail=Trail()))
        while True:
            for topic in ("events", "results", "tasks"):
                new = self.log.on(topic)[self.handled[topic] :]
                if new:
                    break
            else:
                return
            self.handled[topic] += len(new)
            if topic == "tasks":
                for message in new:
                    answer = result(RunStep.of(message))
                    await self.log.publish("results", answer.to_message(source="executor", trail=Trail()))
                continue
            batch = [self.handle(message, number) for number, message in enumerate(new)]
            if len(self.replicas) == 1:
                for handling in batch:
                    await handling
            else:
                await asyncio.gather(*batch)

    def facts(self) -> dict[str, Any]:
        """What was said, by its id; saying it differently a second time is a mistake."""
        said: dict[str, Any] = {}
        for topic, message in self.log.messages:
            fact = (topic, message.type, dict(message.data))
            assert said.setdefault(f"{topic} {message.id}", fact) == fact
        return said


def ends(world: World) -> dict[str, str]:
    return {
        event.task: event.state for event in map(payload_of, world.log.on("events")) if isinstance(event, TaskFinished)
    }


async def test_a_task_from_its_message_to_its_answer() -> None:
    world, event = World(), submitted()
    await world.run(event)
    assert ends(world) == {event.task: "completed"}
    said = await world.state.messages(CONVERSATION)
    assert said == [
        {"role": "user", "task": event.task, "text": "?"},
        {"role": "agent", "task": event.task, "output": "sum", "items": None},
    ]
    kept = await world.state.get(CONVERSATION, input_name(event.task))
    assert kept is not None
    assert kept.value == "?"


async def test_a_crash_at_any_place_loses_nothing_and_says_nothing_new() -> None:
    whole = World()
    await whole.run(submitted(1), submitted(2))
    places = set()
    for number in range(1000):
        crash = CrashAt(number)
        world = World(crash)
        await world.run(submitted(1), submitted(2))
        if not crash.place:
            break
        places.add(crash.place)
        assert world.facts() == whole.facts(), f"crash {number}, {crash.place}"
        checkpoint = await world.state.load(CONVERSATION)
        assert checkpoint is not None
        assert checkpoint.value["outbox"] == []
    assert places == {f"{when} {what}" for when in ("before", "after") for what in ("append", "put", "save", "publish")}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(0, 200), st.integers(2, 3))
def test_replicas_on_one_conversation_end_its_tasks_as_one_does(pauses: list[int], crash: int, replicas: int) -> None:
    calls = iter(range(10**9))
    world = World(CrashAt(crash), replicas=replicas, pause=lambda: pick(pauses, next(calls), 5))
    whole = World()
    asyncio.run(whole.run(submitted(1)))
    asyncio.run(world.run(submitted(1)))
    # Which replica counts a result last may differ, what is known in the end does not.
    assert world.facts().keys() == whole.facts().keys()
    assert ends(world) == ends(whole) == {submitted(1).task: "completed"}


async def test_what_ends_is_projected_and_a_second_time_changes_nothing() -> None:
    world, event = World(), submitted()
    await world.run(event)
    bus = Published()
    manager = StateManager(world.state, bus)
    for _ in range(2):
        for message in world.log.on("events"):
            await manager.handle(message)
        saved = await world.state.get(CONVERSATION, task_name(event.task))
        assert saved is not None
        view = TaskView.model_validate(saved.value)
        assert (view.state, view.output, list(view.steps)) == ("completed", "sum", list(RESEARCH.steps))
    changes = bus.on("state-changes")
    assert changes[-1].data["version"] == saved.version
    assert len({change.id for change in changes}) == saved.version


@pytest.mark.parametrize("readable", [True, False])
async def test_a_submission_that_fails_again_and_again_ends_its_task(
    readable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus, event = Published(), submitted()

    def broken(*_: Any) -> None:
        raise RuntimeError("a bug")

    orchestrator = Orchestrator(MemoryState(), bus, clock=clock())
    message = event.to_message(source="ingestion", trail=Trail(correlation_id="k"))
    if not readable:
        message = Message(type=message.type, data={}, key=message.key, id=message.id, subject=message.subject)
    with monkeypatch.context() as patched:
        patched.setattr(Conversation, "handle", broken)
        with pytest.raises(Exception, match="a bug" if readable else "missing"):
            await orchestrator.handle(message)
    await orchestrator.give_up(message, "RuntimeError")
    [end] = bus.on("events")
    assert (end.subject, end.data["state"], end.data["reason"]) == (
        event.task,
        "failed",
        "internal error: RuntimeError",
    )


async def test_the_whole_over_the_bus_in_memory() -> None:
    state, bus = MemoryState(), MemoryBus()
    orchestrator = Orchestrator(state, bus, clock=clock())
    await orchestrator.handle(submitted().to_message(source="ingestion", trail=Trail()))
    commands = [message async for message in bus.read("tasks")]
    assert sorted(message.data["step"] for message in commands) == ["aside", "plan"]
