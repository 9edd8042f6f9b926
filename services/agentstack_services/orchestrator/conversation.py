"""The tasks of one conversation, one after another. Pure: the service around it loads, saves and publishes."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from agentstack_runtime.bus import Message
from agentstack_services.domain.messages import (
    EVENTS,
    PAYLOADS,
    CancelRequested,
    EndState,
    Payload,
    StepResult,
    TaskExpired,
    TaskFinished,
    TaskStarted,
    TaskSubmitted,
    Trail,
)
from agentstack_services.workflows.model import Workflow

from .run import TaskRun, begin

REMEMBERED = 256
"""Ids of ended tasks that a conversation keeps: a message that a client repeats later than that many tasks after it
would be a new task."""


class Waiting(BaseModel):
    """A task that waits for those before it."""

    model_config = ConfigDict(extra="ignore")

    task: str
    definition: Workflow
    client_message_id: str
    trail: Trail = Trail()


class Outgoing(BaseModel):
    """A message that has to be published, if it was not already: it stays until that is certain."""

    model_config = ConfigDict(extra="ignore")

    topic: str
    type: str
    data: dict[str, object]
    trail: Trail

    def to_message(self, source: str) -> Message:
        """Return the message."""
        payload = PAYLOADS[self.type].model_validate(self.data)
        return payload.to_message(source=source, trail=self.trail)


class Conversation(BaseModel):
    """What a checkpoint holds."""

    model_config = ConfigDict(extra="ignore")

    running: TaskRun | None = None
    waiting: list[Waiting] = []
    ended: list[str] = []
    """The ids of the last tasks that ended."""
    outbox: list[Outgoing] = []

    def handle(self, event: Payload, trail: Trail, now: datetime) -> bool:
        """Fold one event or result that came with `trail`, and put what follows from it into the outbox.

        Returns:
            Whether anything changed: what was seen before changes nothing.
        """
        if isinstance(event, TaskSubmitted):
            return self._submitted(event, trail, now)
        if isinstance(event, StepResult):
            return self._result(event, now)
        # Where the task is not known, its checkpoint was lost: it ends, since nothing else would end it.
        if isinstance(event, CancelRequested):
            return self._end(event.task, event.conversation, "canceled", "canceled by the client", now, lost=trail)
        if isinstance(event, TaskExpired):
            return self._end(event.task, event.conversation, "failed", "the workflow's time is over", now, lost=trail)
        return False

    def fail(self, task: str, conversation: str, reason: str, now: datetime, *, lost: Trail | None = None) -> bool:
        """End a task that cannot go on; return whether there was one.

        `lost` is the trail of the message that begins the task, where that is what cannot be handled.
        """
        return self._end(task, conversation, "failed", reason, now, lost=lost)

    def _submitted(self, event: TaskSubmitted, trail: Trail, now: datetime) -> bool:
        if self._knows(event.task):
            return False
        self.waiting.append(
            Waiting(
                task=event.task,
                definition=event.definition,
                client_message_id=event.client_message_id,
                trail=trail,
            )
        )
        self._next(event.conversation, now)
        return True

    def _knows(self, task: str) -> bool:
        waits = any(waiting.task == task for waiting in self.waiting)
        return waits or task in self.ended or (self.running is not None and self.running.task == task)

    def _result(self, result: StepResult, now: datetime) -> bool:
        running = self.running
        if running is None or running.task != result.task or not running.expects(result):
            return False
        finished = running.take(result)
        if finished is not None:
            self._say(EVENTS, finished, running.trail)
        self._go_on(result.conversation, now)
        return True

    def _next(self, conversation: str, now: datetime) -> None:
        """Begin the first task that waits, if none runs."""
        while self.running is None and self.waiting:
            first = self.waiting.pop(0)
            workflow = first.definition
            deadline = now + timedelta(seconds=workflow.timeout)
            self.running = begin(first.task, first.client_message_id, workflow, deadline, first.trail)
            self._say(
                EVENTS,
                TaskStarted(
                    conversation=conversation,
                    task=first.task,
                    workflow=workflow.name,
                    steps=tuple(workflow.steps),
                    deadline=deadline,
                ),
                first.trail,
            )
            self._go_on(conversation, now)

    def _go_on(self, conversation: str, now: datetime) -> None:
        """Give out the steps whose turn it is, or end the task."""
        running = self.running
        if running is None:
            return
        if running.failed is None:
            commands, started, finished = running.ready(conversation)
            for event in (*started, *finished):
                self._say(EVENTS, event, running.trail)
            for command in commands:
                self._say(command.definition.topic, command, running.trail)
        if running.failed is not None:
            self._end(running.task, conversation, "failed", running.failed, now)
        elif running.completed:
            self._end(running.task, conversation, "completed", None, now)

    def _end(
        self,
        task: str,
        conversation: str,
        state: EndState,
        reason: str | None,
        now: datetime,
        *,
        lost: Trail | None = None,
    ) -> bool:
        """End a task, and begin the next one; return whether there was one to end."""
        running = self.running
        if lost is not None and not self._knows(task):
            end = TaskFinished(conversation=conversation, task=task, workflow="", state=state, reason=reason)
            self._finished(end, lost)
            return True
        if running is not None and running.task == task:
            self.running = None
            output = running.workflow.output if state == "completed" else None
            end = TaskFinished(
                conversation=conversation,
                task=task,
                workflow=running.workflow.name,
                state=state,
                reason=reason,
                output=output,
                items=running.steps[output].items if output else None,
            )
            self._finished(end, running.trail)
            self._next(conversation, now)
            return True
        waiting = next((waiting for waiting in self.waiting if waiting.task == task), None)
        if waiting is not None:
            self.waiting.remove(waiting)
            name = waiting.definition.name
            end = TaskFinished(conversation=conversation, task=task, workflow=name, state=state, reason=reason)
            self._finished(end, waiting.trail)
        return waiting is not None

    def _finished(self, end: TaskFinished, trail: Trail) -> None:
        self.ended = [*self.ended, end.task][-REMEMBERED:]
        self._say(EVENTS, end, trail)

    def _say(self, topic: str, payload: Payload, trail: Trail) -> None:
        data = payload.model_dump(mode="json", exclude_none=True)
        self.outbox.append(Outgoing(topic=topic, type=payload.TYPE, data=data, trail=trail))
