"""How a task stands, folded from its events.

Events may come twice, and those of one task by two replicas in any order: each field is the work of one type of event,
and a state is never left for an earlier one. So every order, and every repetition, ends in the same projection.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from agentstack_services.domain.messages import (
    Payload,
    StepFinished,
    StepStarted,
    TaskFinished,
    TaskStarted,
    TaskSubmitted,
)

StepState = Literal["waiting", "running", "completed", "failed"]
TaskState = Literal["submitted", "working", "completed", "failed", "canceled"]
ENDED: Final = frozenset({"completed", "failed", "canceled"})
"""The states that a task does not leave."""
_WEIGHT: Final = {"failed": 1, "canceled": 2, "completed": 3}


class StepView(BaseModel):
    """One step."""

    model_config = ConfigDict(extra="ignore")

    state: StepState = "waiting"
    items: int | None = None
    started: datetime | None = None
    finished: datetime | None = None
    reason: str | None = None
    duration_seconds: float | None = None
    input_tokens: int = 0
    output_tokens: int = 0


class TaskView(BaseModel):
    """One task, without what was asked and answered: that lies in the conversation, under names that this tells."""

    model_config = ConfigDict(extra="ignore")

    task: str
    conversation: str
    workflow: str = ""
    client_message_id: str = ""
    state: TaskState = "submitted"
    reason: str | None = None
    submitted: datetime | None = None
    started: datetime | None = None
    finished: datetime | None = None
    deadline: datetime | None = None
    steps: dict[str, StepView] = {}
    output: str | None = None
    """The step whose output is the answer."""
    items: int | None = None

    @property
    def ended(self) -> bool:
        """Whether it stays as it is."""
        return self.state in ENDED

    @property
    def duration_seconds(self) -> float | None:
        """From the client's message to the end; None before."""
        return (self.finished - self.submitted).total_seconds() if self.finished and self.submitted else None


def submitted(event: TaskSubmitted, at: datetime) -> TaskView:
    """Return the projection of a task that was just taken in."""
    return fold(TaskView(task=event.task, conversation=event.conversation), event, at)


def fold(view: TaskView, event: Payload, at: datetime) -> TaskView:
    """Return `view` after `event`, which happened at `at`; `view` itself where it says nothing new."""
    folded = view.model_copy(deep=True)
    if isinstance(event, TaskSubmitted):
        folded.workflow, folded.client_message_id = event.definition.name, event.client_message_id
        folded.submitted = min(folded.submitted or at, at)
    elif isinstance(event, TaskStarted):
        folded.started, folded.deadline = min(folded.started or at, at), event.deadline
        # In the order of the workflow, with what is known of them already.
        folded.steps = {name: folded.steps.get(name, StepView()) for name in event.steps}
        _advance(folded, "working")
    elif isinstance(event, StepStarted):
        step = folded.steps.setdefault(event.step, StepView())
        step.items, step.started = event.items, min(step.started or at, at)
        if step.state == "waiting":
            step.state = "running"
        _advance(folded, "working")
    elif isinstance(event, StepFinished):
        step = folded.steps.setdefault(event.step, StepView())
        step.state, step.reason = event.outcome, event.reason
        step.finished = min(step.finished or at, at)
        step.duration_seconds = event.duration_seconds
        step.input_tokens, step.output_tokens = event.input_tokens, event.output_tokens
        _advance(folded, "working")
    elif isinstance(event, TaskFinished) and _outweighs(event, at, folded):
        folded.state, folded.reason = event.state, event.reason
        folded.output, folded.items = event.output, event.items
        folded.finished = at
    return view if folded == view else folded


def _outweighs(event: TaskFinished, at: datetime, view: TaskView) -> bool:
    """Whether `event` is the end that counts. There is a second one only where the orchestrator lost a checkpoint."""
    if view.finished is None:
        return True
    new, old = _WEIGHT[event.state], _WEIGHT[view.state]
    return (new, view.finished, event.reason or "") > (old, at, view.reason or "")


def _advance(view: TaskView, state: TaskState) -> None:
    if not view.ended:
        view.state = state
