"""Every order of a task's events, and every repetition, ends in the same projection."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from agentstack_runtime.state.memory import MemoryState
from agentstack_services.domain.messages import (
    Payload,
    StepFinished,
    StepStarted,
    TaskFinished,
    TaskStarted,
    TaskSubmitted,
    Trail,
)
from agentstack_services.state_manager.archive import LogArchive
from agentstack_services.state_manager.projection import TaskView, fold
from agentstack_services.state_manager.service import StateManager
from tests.doubles import CONVERSATION, START, Published
from tests.orchestrator.test_conversation import submitted

SUBMITTED = submitted()
OF = {"conversation": CONVERSATION, "task": SUBMITTED.task}
EVENTS: tuple[Payload, ...] = (
    SUBMITTED,
    TaskStarted(**OF, workflow="research", steps=("plan", "look"), deadline=START),
    StepStarted(**OF, step="plan"),
    StepFinished(**OF, step="plan", outcome="completed", duration_seconds=2, input_tokens=5, output_tokens=7),
    StepStarted(**OF, step="look", items=2),
    StepFinished(**OF, step="look", outcome="failed", reason="no"),
    TaskFinished(**OF, workflow="research", state="failed", reason="step look: no"),
)
HAPPENED = [(event, START + timedelta(seconds=number)) for number, event in enumerate(EVENTS)]
# Published a second time by another replica: the same fact, a later time.
AGAIN = [(event, at + timedelta(seconds=100)) for event, at in HAPPENED]


def folded(happened: list[tuple[Payload, object]]) -> TaskView:
    view = TaskView(**OF)
    for event, at in happened:
        view = fold(view, event, at)
    return view


@given(
    st.permutations(HAPPENED), st.lists(st.tuples(st.integers(0, 20), st.sampled_from(AGAIN + HAPPENED)), max_size=8)
)
def test_every_order_and_repetition_gives_the_same(order: list, repeated: list) -> None:
    happened = list(order)
    for place, event in repeated:
        happened.insert(place % (len(happened) + 1), event)
    view = folded(happened)
    assert view == folded(HAPPENED)
    assert list(view.steps) == ["plan", "look"]
    assert (view.state, view.reason, view.duration_seconds) == ("failed", "step look: no", 6.0)


@given(st.permutations(HAPPENED[:-1]))
def test_it_works_until_it_ends(order: list) -> None:
    view = folded(order)
    assert (view.state, view.ended, view.duration_seconds) == ("working", False, None)


def test_what_says_nothing_new_gives_the_same_object() -> None:
    view = folded(HAPPENED)
    assert all(fold(view, event, at) is view for event, at in HAPPENED + AGAIN)


def test_nothing_of_what_was_said_is_in_it() -> None:
    secret = SUBMITTED.model_copy(update={"text": "hunter2"})
    assert "hunter2" not in folded([(secret, START)]).model_dump_json()


async def test_a_change_is_announced_again_where_its_announcer_may_have_died() -> None:
    state, bus = MemoryState(), Published()
    message = SUBMITTED.to_message(source="ingestion", trail=Trail(correlation_id="k"))
    for _ in range(2):
        await StateManager(state, bus).handle(message)
    first, second = bus.on("state-changes")
    assert first.id == second.id
    assert first.key == SUBMITTED.task
    assert first.correlation_id == "k"
    assert "text" not in first.data


class _Log:
    def __init__(self, messages: list) -> None:
        self.messages = messages

    async def read(self, topic: str):
        assert topic == "events"
        for message in self.messages:
            yield message


async def test_the_archive_gives_each_event_of_a_task_once() -> None:
    mine = [event.to_message(source="s", trail=Trail()) for event in EVENTS]
    other = submitted(2).to_message(source="s", trail=Trail())
    archive = LogArchive(_Log([*mine, other, *mine]))  # type: ignore[arg-type]
    assert [event.id async for event in archive.events(SUBMITTED.task)] == [message.id for message in mine]
    assert isinstance(SUBMITTED, TaskSubmitted)


ENDS = [
    (TaskFinished(**OF, workflow="", state="failed", reason="the workflow's time is over"), START),
    (TaskFinished(**OF, workflow="research", state="completed", output="look"), START + timedelta(seconds=5)),
    (TaskFinished(**OF, workflow="research", state="failed", reason="another"), START + timedelta(seconds=1)),
]


@given(st.permutations([*HAPPENED[:-1], *ENDS]))
def test_of_several_ends_the_best_one_counts_whatever_the_order(order: list) -> None:
    view = folded(order)
    assert view == folded([*HAPPENED[:-1], *ENDS])
    assert (view.state, view.reason, view.output) == ("completed", None, "look")
