"""The state-manager's work on one event: fold it into the projection, wake who waits for it, announce it."""

from __future__ import annotations

from typing import Final

from agentstack_runtime.bus import Bus, Message
from agentstack_runtime.state import Conflict, State
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
        name = task_name(event.task)
        while True:
            saved = await self._state.get(event.conversation, name)
            before = (
                TaskView.model_validate(saved.value)
                if saved
                else TaskView(task=event.task, conversation=event.conversation)
            )
            view, version = fold(before, event, message.time), saved.version if saved else 0
            if view is before and saved:
                break
            try:
                version = await self._state.put(
                    event.conversation, name, view.model_dump(mode="json"), expected=version, notify=True
                )
            except Conflict:
                continue
            break
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
