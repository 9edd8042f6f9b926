"""A projection in the words of A2A."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from a2a.types.a2a_pb2 import TaskState
from hypothesis import given
from hypothesis import strategies as st

from agentstack_services.domain.messages import StepFinished, StepStarted, TaskFinished, TaskStarted, TaskSubmitted
from agentstack_services.ingestion import view as words
from agentstack_services.state_manager.projection import TaskView, fold
from tests.doubles import RESEARCH

START = datetime(2026, 1, 1, tzinfo=UTC)
OF = {"conversation": "c1", "task": "c1.x"}
EVENTS = [
    TaskSubmitted(**OF, definition=RESEARCH, client_message_id="m1", text="hello"),
    TaskStarted(**OF, workflow="research", steps=("a", "b"), deadline=START + timedelta(minutes=1)),
    StepStarted(**OF, step="a"),
    StepFinished(**OF, step="a", outcome="completed", duration_seconds=2),
    StepStarted(**OF, step="b", items=3),
    StepFinished(**OF, step="b", outcome="failed", reason="no luck"),
    TaskFinished(**OF, workflow="research", state="failed", reason="step b: no luck"),
]
TOLD = [
    "workflow research began",
    "step a began",
    "step a completed after 2.0 s",
    "step b began: 3 items",
    "step b failed after 0.0 s: no luck",
]


def told(views: list[TaskView]) -> list[str]:
    updates = [update for before, after in itertools.pairwise(views) for update in words.progress(before, after)]
    return [update.status.message.parts[0].text for update in updates]


@given(
    order=st.permutations(range(len(EVENTS))),
    again=st.lists(st.sampled_from(range(len(EVENTS))), max_size=4),
    seen=st.sets(st.integers(1, len(EVENTS) + 3)),
)
def test_whatever_a_stream_sees_of_the_way_it_tells_everything_once(order, again, seen):
    views = [TaskView(**OF)]
    for number in [*order, *again]:
        views.append(fold(views[-1], EVENTS[number], START + timedelta(seconds=number)))
    looked = [views[0], *(views[number] for number in sorted(seen) if number < len(views)), views[-1]]
    said = told(looked)
    # Where the events of the steps come before that of the task, its name is not known yet.
    assert sorted(text.replace("workflow  began", "workflow research began") for text in said) == sorted(TOLD)


def test_what_came_at_one_look_is_told_in_the_order_of_its_times():
    last = TaskView(**OF)
    for number, event in reversed(list(enumerate(EVENTS))):
        last = fold(last, event, START + timedelta(seconds=number))
    assert told([TaskView(**OF), last]) == TOLD


def test_a_task_has_state_reason_time_and_steps():
    last = TaskView(**OF)
    for number, event in enumerate(EVENTS):
        last = fold(last, event, START + timedelta(seconds=number))
    task = words.task(last)
    assert (task.id, task.context_id, task.status.state) == ("c1.x", "c1", TaskState.TASK_STATE_FAILED)
    assert task.status.message.parts[0].text == "step b: no luck"
    assert task.status.timestamp.ToDatetime(UTC) == START + timedelta(seconds=6)
    assert [dict(step) for step in task.metadata["steps"]] == [
        {"name": "a", "state": "completed", "durationSeconds": 2.0},
        {"name": "b", "state": "failed", "items": 3.0, "durationSeconds": 0.0, "reason": "no luck"},
    ]
    assert not task.artifacts


def test_an_answer_has_a_part_for_each_of_its_values():
    parts = words.parts(["text", {"a": [1]}, 7])
    assert [(part.text, part.media_type) for part in parts] == [
        ("text", "text/plain"),
        ('{"a": [1]}', "application/json"),
        ("7", "application/json"),
    ]
