"""A task's projection in the words of A2A. Pure: what was said and answered is given."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from a2a.types.a2a_pb2 import (
    Artifact,
    Message,
    Part,
    Role,
    Task,
    TaskArtifactUpdateEvent,
    TaskState,
    TaskStatus,
    TaskStatusUpdateEvent,
)

from agentstack_services.state_manager.projection import StepView, TaskView

STATES: Final[Mapping[str, TaskState]] = {
    "submitted": TaskState.TASK_STATE_SUBMITTED,
    "working": TaskState.TASK_STATE_WORKING,
    "completed": TaskState.TASK_STATE_COMPLETED,
    "failed": TaskState.TASK_STATE_FAILED,
    "canceled": TaskState.TASK_STATE_CANCELED,
}
ARTIFACT: Final = "answer"
"""The id of the one artifact that a completed task has."""


def task(view: TaskView, *, output: Sequence[Any] = (), history: Sequence[Message] = ()) -> Task:
    """Return the task; `output` is what its answer consists of, if it has one."""
    return Task(
        id=view.task,
        context_id=view.conversation,
        status=status(view),
        artifacts=[artifact(view, output)] if output else [],
        history=history,
        metadata=metadata(view),
    )


def status(view: TaskView) -> TaskStatus:
    """Return how it stands, and why where there is a reason."""
    return TaskStatus(
        state=STATES[view.state],
        timestamp=updated(view),
        message=_says(view, view.state, view.reason) if view.reason else None,
    )


def updated(view: TaskView) -> datetime | None:
    """Return when it last changed."""
    times = [view.submitted, view.started, view.finished]
    times += [time for step in view.steps.values() for time in (step.started, step.finished)]
    return max((time for time in times if time), default=None)


def metadata(view: TaskView) -> dict[str, Any]:
    """Return the workflow and its steps, with what they took."""
    steps = [{"name": name, **_step(step)} for name, step in view.steps.items()]
    return {"workflow": view.workflow, "steps": steps}


def artifact(view: TaskView, output: Sequence[Any]) -> Artifact:
    """Return the answer of a completed task: a part for each text or value of it."""
    return Artifact(artifact_id=ARTIFACT, name=view.output or ARTIFACT, parts=parts(output))


def parts(output: Sequence[Any]) -> list[Part]:
    """Return a text part for a text; anything else as JSON in one."""
    return [
        Part(text=value, media_type="text/plain")
        if isinstance(value, str)
        else Part(text=json.dumps(value, ensure_ascii=False), media_type="application/json")
        for value in output
    ]


def asked(view: TaskView, text: str) -> Message:
    """Return the client's message."""
    return Message(
        message_id=view.client_message_id,
        context_id=view.conversation,
        task_id=view.task,
        role=Role.ROLE_USER,
        parts=parts([text]),
    )


def answered(view: TaskView, output: Sequence[Any]) -> Message:
    """Return the answer as a message of the history."""
    return Message(
        message_id=f"{view.task}.answer",
        context_id=view.conversation,
        task_id=view.task,
        role=Role.ROLE_AGENT,
        parts=parts(output),
    )


def progress(before: TaskView, after: TaskView) -> list[TaskStatusUpdateEvent]:
    """Return an update for each thing that happened between two projections, but for the end of the task."""
    happened = sorted(_happened(before, after), key=lambda entry: entry[0])  # Stable: a step begins before it ends.
    return [
        TaskStatusUpdateEvent(
            task_id=after.task,
            context_id=after.conversation,
            status=TaskStatus(
                state=TaskState.TASK_STATE_WORKING, timestamp=at, message=_says(after, f"progress.{name}", text)
            ),
            metadata=metadata(after),
        )
        for at, name, text in happened
    ]


def end(view: TaskView, output: Sequence[Any]) -> list[TaskArtifactUpdateEvent | TaskStatusUpdateEvent]:
    """Return the last events of a task that ended: its answer, if it has one, and its status."""
    last: list[TaskArtifactUpdateEvent | TaskStatusUpdateEvent] = []
    if output:
        last.append(
            TaskArtifactUpdateEvent(
                task_id=view.task, context_id=view.conversation, artifact=artifact(view, output), last_chunk=True
            )
        )
    last.append(
        TaskStatusUpdateEvent(
            task_id=view.task, context_id=view.conversation, status=status(view), metadata=metadata(view)
        )
    )
    return last


def _happened(before: TaskView, after: TaskView) -> Iterator[tuple[datetime, str, str]]:
    if before.started is None and after.started is not None:
        yield after.started, "task", f"workflow {after.workflow} began"
    for name, step in after.steps.items():
        was = before.steps.get(name, StepView())
        if was.started is None and step.started is not None:
            items = "" if step.items is None else f": {step.items} item{'' if step.items == 1 else 's'}"
            yield step.started, f"{name}.started", f"step {name} began{items}"
        if was.finished is None and step.finished is not None:
            why = f": {step.reason}" if step.reason else ""
            took = "" if step.duration_seconds is None else f" after {step.duration_seconds:.1f} s"
            yield step.finished, f"{name}.finished", f"step {name} {step.state}{took}{why}"


def _says(view: TaskView, name: str, text: str) -> Message:
    return Message(
        message_id=f"{view.task}.{name}",
        context_id=view.conversation,
        task_id=view.task,
        role=Role.ROLE_AGENT,
        parts=parts([text]),
    )


def _step(step: StepView) -> dict[str, Any]:
    said = {
        "state": step.state,
        "items": step.items,
        "durationSeconds": step.duration_seconds,
        "inputTokens": step.input_tokens or None,
        "outputTokens": step.output_tokens or None,
        "reason": step.reason,
    }
    return {name: value for name, value in said.items() if value is not None}
