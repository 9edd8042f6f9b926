"""The state-manager's work on one event: fold it into the projection, wake who waits for it, announce it."""

from __future__ import annotations

from typing import Final

from agentstack_runtime.bus import Bus, Message
from agentstack_runtime.state import JSON, State, update
from agentstack_services.domain.ids import task_name
from agentstack_services.domain.messages import (
    STATE_CHANGES,
    StepFinished,
    StepStarted,
    TaskChanged,
    TaskFinished,
    TaskStarted,
    TaskSubmitted,
    Trail,
    payload_of,
)

from .projection import TaskView, fold

SOURCE: Final = "state-manager"
_FOLDS: Final = (TaskSubmitted, TaskStarted, StepStarted, StepFinished, TaskFinished)


class StateManager:
    """Keeps the projections. Replicas may fold events of one task at a time: who is late folds again."""

    def __init__(self, state: State, bus: Bus) -> None:
        self._state, self._bus = state, bus

    async def handle(self, message: Message) -> None:
        """Fold one message of `events`.

        Raises:
            Reject: it is not what its type promises.
            Unavailable: Redis or Kafka does not answer.
        """
        event = payload_of(message)
        if not isinstance(event, _FOLDS):
            return
        view = TaskView(task=event.task, conversation=event.conversation)

        def folded(saved: JSON) -> JSON:
            nonlocal view
            before = TaskView.model_validate(saved) if saved is not None else view
            view = fold(before, event, message.time)
            return None if view is before and saved is not None else view.model_dump(mode="json")

        version = await update(self._state, event.conversation, task_name(event.task), folded, notify=True)
        # Even where nothing changed: the replica that changed it may have died before it said so.
        changed = TaskChanged(
            conversation=view.conversation,
            task=view.task,
            workflow=view.workflow,
            state=view.state,
            version=version,
            duration_seconds=view.duration_seconds,
        )
        await self._bus.publish(STATE_CHANGES, changed.to_message(source=SOURCE, trail=Trail.of(message)))
