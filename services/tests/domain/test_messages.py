"""What the services say to each other survives the way, and is refused without being repeated."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentstack_runtime.bus import Message, Reject
from agentstack_services.domain.ids import (
    command_id,
    conversation_of_message,
    conversation_of_task,
    input_name,
    lock_name,
    output_name,
    task_name,
    task_of_message,
)
from agentstack_services.domain.messages import PAYLOADS, RunStep, StepResult, TaskSubmitted, Trail, payload_of
from agentstack_services.workflows.model import REFERENCE, render
from tests.doubles import CONVERSATION, RESEARCH, START

TASK = task_of_message(CONVERSATION, "m1")


def test_a_command_is_the_same_after_the_way() -> None:
    command = RunStep(
        conversation=CONVERSATION,
        task=TASK,
        id=command_id(TASK, "look", 3),
        workflow="research",
        step="look",
        item=3,
        definition=RESEARCH.steps["look"],
        outputs={"plan": None},
        client_message_id="m1",
        deadline=START + timedelta(seconds=60),
    )
    trail = Trail(correlation_id="c", traceparent="t")
    message = command.to_message(source="orchestrator", trail=trail)
    assert payload_of(message) == command
    assert (message.id, message.key, message.subject) == (command.id, command.id, TASK)
    assert Trail.of(message) == trail


def test_command_and_result_have_one_id() -> None:
    result = StepResult(
        conversation=CONVERSATION,
        task=TASK,
        id=command_id(TASK, "plan", None),
        workflow="w",
        step="plan",
        outcome="failed",
    )
    assert result.to_message(source="executor", trail=Trail()).id == f"{TASK}/plan"


def test_what_is_wrong_is_refused_by_its_place_and_never_repeated() -> None:
    data = {"conversation": CONVERSATION, "task": TASK, "workflow": 7, "client_message_id": "m1", "text": ["hunter2"]}
    with pytest.raises(Reject) as refused:
        payload_of(Message(type=TaskSubmitted.TYPE, data=data, key="k"))
    assert str(refused.value) == f"{TaskSubmitted.TYPE}: wrong or missing: definition, text"


def test_a_newer_version_may_say_more() -> None:
    assert payload_of(Message(type="dev.agentstack.of-tomorrow", data={}, key="k")) is None
    data = {"conversation": CONVERSATION, "task": TASK, "mood": "good"}
    cancel = PAYLOADS["dev.agentstack.task.cancel-requested"]
    assert payload_of(Message(type=cancel.TYPE, data=data, key="k")) == cancel(conversation=CONVERSATION, task=TASK)


@given(st.text(min_size=1), st.text(min_size=1))
def test_ids_follow_from_what_the_client_sent(one: str, other: str) -> None:
    conversation = conversation_of_message(one)
    task = task_of_message(conversation, one)
    assert conversation_of_task(task) == conversation
    assert task == task_of_message(conversation_of_message(one), one)
    assert (task_of_message(conversation, other) == task) == (one == other)


@pytest.mark.parametrize("task", ["", "c1", "c1.", ".0123456789abcdef0123", "c1.XYZ", "c1.0123456789abcdef012"])
def test_what_is_no_id_of_a_task(task: str) -> None:
    with pytest.raises(ValueError, match="not the id of a task"):
        conversation_of_task(task)


def test_no_two_things_of_a_task_have_one_name() -> None:
    names = [task_name(TASK), input_name(TASK)]
    names += [name(TASK, "s", item) for name in (output_name, lock_name) for item in (None, 0, 1)]
    assert len(set(names)) == len(names)


@given(st.dictionaries(st.sampled_from(["input", "plan", "look-up"]), st.text(), min_size=3))
def test_what_is_put_into_a_text_is_not_read_again(values: dict[str, str]) -> None:
    assert render("${input}|$${plan}|${look-up}", values) == f"{values['input']}|${{plan}}|{values['look-up']}"
    assert not REFERENCE.search("$input ${} ${A}")
