"""Whatever the order and repetition of what happens, a task ends once, and the same way."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentstack_services.domain.ids import task_of_message
from agentstack_services.domain.messages import (
    PAYLOADS,
    CancelRequested,
    RunStep,
    StepFinished,
    StepResult,
    TaskExpired,
    TaskFinished,
    TaskSubmitted,
    Trail,
)
from agentstack_services.orchestrator.conversation import REMEMBERED, Conversation
from agentstack_services.workflows.model import Workflow
from tests.doubles import CONVERSATION, RESEARCH, START, pick, workflow

CHOICES = st.lists(st.integers(0, 10_000), max_size=60)


def submitted(number: int = 1, definition: Workflow = RESEARCH) -> TaskSubmitted:
    message = f"m{number}"
    return TaskSubmitted(
        conversation=CONVERSATION,
        task=task_of_message(CONVERSATION, message),
        definition=definition,
        client_message_id=message,
        text="?",
    )


def result(command: RunStep, failing: frozenset[str] = frozenset(), items: int = 3) -> StepResult:
    failed = command.step in failing
    return StepResult(
        conversation=command.conversation,
        task=command.task,
        id=command.id,
        workflow=command.workflow,
        step=command.step,
        item=command.item,
        outcome="failed" if failed else "completed",
        reason="no" if failed else None,
        items=items if command.definition.output == "lines" else None,
        duration_seconds=1.0 + (command.item or 0),
        input_tokens=2,
        output_tokens=1,
    )


class Run:
    """A conversation, and an environment that answers its commands in an order that is drawn."""

    def __init__(self, *, failing: frozenset[str] = frozenset(), items: int = 3) -> None:
        self.failing, self.items = failing, items
        self.conversation = Conversation()
        self.said: list[Any] = []

    def handle(self, event: Any) -> bool:
        # As another replica would find it.
        self.conversation = Conversation.model_validate(self.conversation.model_dump(mode="json"))
        changed = self.conversation.handle(event, Trail(), START)
        self.said += (PAYLOADS[entry.type].model_validate(entry.data) for entry in self.conversation.outbox)
        self.conversation.outbox = []
        return changed

    def of(self, kind: type) -> list[Any]:
        return [payload for payload in self.said if isinstance(payload, kind)]

    def drive(self, choices: list[int], *first: Any) -> Run:
        """Handle what `first` begins until nothing is left: in any order, each thing once or more."""
        for event in first:
            self.handle(event)
        number, answered, past = 0, set(), []
        while True:
            open_ = [command for command in self.of(RunStep) if command.id not in answered]
            if not open_:
                break
            command = open_[pick(choices, number, len(open_))]
            answered.add(command.id)
            past.append(result(command, self.failing, self.items))
            self.handle(past[-1])
            if choices and choices[number % len(choices)] % 3 == 0:
                again = [*past, *first]
                assert not self.handle(again[pick(choices, number + 1, len(again))]), "what was seen changes nothing"
            number += 1
        return self


@given(CHOICES)
def test_any_order_of_results_ends_the_task_the_same_way(choices: list[int]) -> None:
    run, plain = Run().drive(choices, submitted()), Run().drive([], submitted())
    assert run.of(TaskFinished) == plain.of(TaskFinished)
    assert [(end.state, end.output, end.items) for end in run.of(TaskFinished)] == [("completed", "sum", None)]
    by_step = {end.step: end for end in run.of(StepFinished)}
    assert by_step == {end.step: end for end in plain.of(StepFinished)}
    assert (by_step["look"].duration_seconds, by_step["look"].input_tokens) == (3.0, 6)


@given(CHOICES, st.sampled_from(sorted(RESEARCH.steps)))
def test_a_failed_step_ends_the_task_and_says_which(choices: list[int], failing: str) -> None:
    run = Run(failing=frozenset({failing})).drive(choices, submitted())
    assert [(end.state, end.reason) for end in run.of(TaskFinished)] == [("failed", f"step {failing}: no")]


@given(CHOICES, st.integers(0, 4))
def test_the_commands_of_a_step_are_given_out_once(choices: list[int], items: int) -> None:
    run = Run(items=items).drive(choices, submitted())
    counted = Counter(command.id for command in run.of(RunStep))
    assert set(counted.values()) == {1}
    assert sum(command.step == "look" for command in run.of(RunStep)) == items
    assert run.of(TaskFinished)[0].state == "completed"


@st.composite
def workflows(draw: st.DrawFn) -> Workflow:
    names = [f"s{number}" for number in range(draw(st.integers(1, 5)))]
    steps: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(names):
        needs = draw(st.lists(st.sampled_from(names[:number]), unique=True)) if number else []
        source = draw(st.sampled_from([None, *needs]))
        steps[name] = {"model": {"prompt": "p"}, "needs": needs, "forEach": source}
        steps[name]["output"] = draw(st.sampled_from(["text", "lines"]))
    return workflow(steps, output=names[-1], name="drawn")


@given(workflows(), CHOICES, st.integers(0, 3), st.frozensets(st.sampled_from(["s0", "s1", "s2"])), st.integers(1, 4))
def test_every_accepted_task_ends_once_and_in_their_order(
    drawn: Workflow, choices: list[int], items: int, failing: frozenset[str], tasks: int
) -> None:
    asked = [submitted(number, drawn) for number in range(tasks)]
    run = Run(failing=failing, items=items).drive(choices, *asked)
    ends = run.of(TaskFinished)
    assert [end.task for end in ends] == [event.task for event in asked]
    assert run.conversation.running is None
    assert not run.conversation.waiting
    assert set(Counter(command.id for command in run.of(RunStep)).values()) <= {1}


@given(CHOICES, st.integers(0, 8), st.sampled_from([CancelRequested, TaskExpired]))
def test_a_task_that_is_ended_from_outside_stays_so(choices: list[int], after: int, end: type) -> None:
    run = Run()
    first, second = submitted(1), submitted(2)
    run.handle(first)
    run.handle(second)
    stop = end(conversation=CONVERSATION, task=first.task)
    for _ in range(after):
        commands = run.of(RunStep)
        run.handle(result(commands[pick(choices, len(run.said), len(commands))]))
    run.handle(stop)
    assert not run.handle(stop)
    run.drive(choices)
    ends = Counter(finished.task for finished in run.of(TaskFinished))
    assert ends == {first.task: 1, second.task: 1}
    state = next(finished.state for finished in run.of(TaskFinished) if finished.task == first.task)
    assert state in ({"canceled", "completed"} if end is CancelRequested else {"failed", "completed"})


def test_a_waiting_task_can_be_cancelled_before_its_turn() -> None:
    run = Run()
    run.handle(submitted(1))
    run.handle(submitted(2))
    run.handle(CancelRequested(conversation=CONVERSATION, task=submitted(2).task))
    assert [(end.task, end.state) for end in run.of(TaskFinished)] == [(submitted(2).task, "canceled")]
    assert run.conversation.running is not None


def test_a_fan_out_over_what_is_no_list_fails_and_says_so() -> None:
    steps = {
        "plan": {"http": {"method": "GET", "url": "http://x"}, "output": "json"},
        "look": {"model": {"prompt": "${item}"}, "forEach": "plan", "needs": ["plan"]},
    }
    run = Run().drive([], submitted(definition=workflow(steps, output="look")))
    assert [end.reason for end in run.of(TaskFinished)] == ["step look: the output of step plan is no list"]
    assert [end.outcome for end in run.of(StepFinished)] == ["completed", "failed"]


def test_a_changed_workflow_is_for_the_tasks_after_it() -> None:
    run = Run()
    run.handle(submitted(1))
    shorter = workflow({"only": {"model": {"prompt": "p"}}}, output="only")
    run.drive([], submitted(2, shorter))
    assert [end.output for end in run.of(TaskFinished)] == ["sum", "only"]


def test_deadlines_begin_with_the_task_and_not_with_its_message() -> None:
    run = Run()
    run.handle(submitted(1))
    assert run.of(RunStep)[0].deadline == START + timedelta(seconds=RESEARCH.timeout)


def test_only_the_last_ended_tasks_are_remembered() -> None:
    run, conversation = Run(), Conversation()
    lost = [submitted(number) for number in range(REMEMBERED + 5)]
    for event in lost:
        assert conversation.fail(event.task, CONVERSATION, "why", START, lost=Trail())
    assert len(conversation.ended) == REMEMBERED
    conversation.outbox = []
    run.conversation = conversation
    assert not run.handle(lost[-1])


@pytest.mark.parametrize("known", [False, True])
def test_a_submission_that_cannot_be_handled_ends_its_task(known: bool) -> None:
    event, conversation = submitted(), Conversation()
    if known:
        conversation.handle(event, Trail(), START)
    conversation.outbox = []
    assert conversation.fail(event.task, CONVERSATION, "why", START, lost=Trail())
    assert [(entry.type, entry.data["state"]) for entry in conversation.outbox] == [(TaskFinished.TYPE, "failed")]
    assert not conversation.fail(event.task, CONVERSATION, "why", START, lost=Trail())


@pytest.mark.parametrize(("end", "state"), [(CancelRequested, "canceled"), (TaskExpired, "failed")])
def test_a_task_whose_checkpoint_was_lost_can_still_be_ended(end: type, state: str) -> None:
    run = Run()
    assert not run.handle(result(Run().drive([], submitted()).of(RunStep)[0])), "nobody waits for it any more"
    assert run.handle(end(conversation=CONVERSATION, task=submitted().task))
    assert [(finished.task, finished.state) for finished in run.of(TaskFinished)] == [(submitted().task, state)]
    assert not run.handle(end(conversation=CONVERSATION, task=submitted().task))
