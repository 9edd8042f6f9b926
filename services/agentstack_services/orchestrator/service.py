"""The orchestrator's work on one message: load the conversation, fold, save, publish."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import datetime
from itertools import groupby
from typing import Final

from agentstack_runtime.bus import Bus, Message
from agentstack_runtime.state import Conflict, State
from agentstack_services.domain.ids import conversation_of_task, input_name
from agentstack_services.domain.messages import (
    CancelRequested,
    StepResult,
    TaskExpired,
    TaskFinished,
    TaskSubmitted,
    Trail,
    now,
    payload_of,
)

from .conversation import Conversation

SOURCE: Final = "orchestrator"
_DECIDES: Final = (TaskSubmitted, CancelRequested, TaskExpired, StepResult)
"""What it acts on: the other events are its own."""


class Orchestrator:
    """Any number of replicas may work on one conversation: who saves first wins, the others load again.

    An offset is committed after `handle` returns, which is after the checkpoint and all that follows from it. Dead in
    between, the next replica publishes what the checkpoint still has in its outbox: twice perhaps, with the same ids.
    """

    def __init__(self, state: State, bus: Bus, *, clock: Callable[[], datetime] = now) -> None:
        self._state, self._bus, self._clock = state, bus, clock

    async def handle(self, message: Message) -> None:
        """Act on one message of `events` or `results`.

        Raises:
            Reject: it is not what its type promises.
            Unavailable: Redis or Kafka does not answer.
        """
        event = payload_of(message)
        if not isinstance(event, _DECIDES):
            return
        if isinstance(event, TaskSubmitted):
            # Before anything refers to it. By the client's id, so that the copy that ingestion wrote is this one.
            said = {"role": "user", "task": event.task, "text": event.text}
            await self._state.append(event.conversation, event.client_message_id, said)
            with contextlib.suppress(Conflict):  # For the steps: a history is long to search. It is there already.
                await self._state.put(event.conversation, input_name(event.task), event.text, expected=0)
        trail, at = Trail.of(message), self._clock()
        await self._change(event.conversation, lambda conversation: conversation.handle(event, trail, at))

    async def give_up(self, message: Message, reason: str) -> None:
        """End the task of a message that cannot be handled, so that its client learns of it."""
        try:
            key = conversation_of_task(message.subject)
        except ValueError:
            return  # Nobody's: no service of the stack sends such a message.
        why, at = f"internal error: {reason}", self._clock()
        # What was just submitted is not in the conversation yet, and has to end all the same.
        lost = Trail.of(message) if message.type == TaskSubmitted.TYPE else None
        await self._change(key, lambda conversation: conversation.fail(message.subject, key, why, at, lost=lost))

    async def _change(self, key: str, change: Callable[[Conversation], bool]) -> None:
        while True:
            saved = await self._state.load(key)
            conversation = Conversation.model_validate(saved.value) if saved else Conversation()
            if not change(conversation) and not conversation.outbox:
                return
            await self._keep_answers(conversation)
            try:
                version = await self._state.save(
                    key, conversation.model_dump(mode="json"), expected=saved.version if saved else 0
                )
            except Conflict:
                continue
            await self._publish(conversation)
            conversation.outbox = []
            # On a conflict, another replica went on from our checkpoint. It publishes the same messages again, or has.
            with contextlib.suppress(Conflict):
                await self._state.save(key, conversation.model_dump(mode="json"), expected=version)
            return

    async def _keep_answers(self, conversation: Conversation) -> None:
        """Note in the history of the conversation which outputs were its answers; the texts stay where they are."""
        for outgoing in conversation.outbox:
            if outgoing.type == TaskFinished.TYPE:
                end = TaskFinished.model_validate(outgoing.data)
                if end.output is not None:
                    answer = {"role": "agent", "task": end.task, "output": end.output, "items": end.items}
                    await self._state.append(end.conversation, f"{end.task}.answer", answer)

    async def _publish(self, conversation: Conversation) -> None:
        for topic, outgoing in groupby(conversation.outbox, key=lambda entry: entry.topic):
            await self._bus.publish(topic, *(entry.to_message(SOURCE) for entry in outgoing))
