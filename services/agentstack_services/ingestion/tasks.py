"""Tasks as they lie in the state of their conversations. Any replica reads any of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from a2a.types.a2a_pb2 import Message
from agentstack_runtime.state import State

from agentstack_services.domain.ids import conversation_of_task, output_name, task_name
from agentstack_services.state_manager.projection import TaskView

from . import view as words
from .submission import CONVERSATION

PAGE: Final = 50
"""Messages, projections or outputs that are read at a time: what a long conversation costs in memory."""
_TASK: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


def conversation_of(task: str) -> str | None:
    """Return the conversation of a task's id as a client gave it; None if it is no such id."""
    if not _TASK.fullmatch(task):
        return None
    try:
        conversation = conversation_of_task(task)
    except ValueError:
        return None
    return conversation if CONVERSATION.fullmatch(conversation) else None


class Tasks:
    """Reads; every method raises `Unavailable` where Redis does not answer."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def view(self, task: str) -> TaskView | None:
        """Return its projection; None if there is none, or not any more."""
        conversation = conversation_of(task)
        if conversation is None:
            return None
        saved = await self._state.get(conversation, task_name(task))
        return TaskView.model_validate(saved.value) if saved else None

    async def of_conversation(self, conversation: str) -> list[TaskView]:
        """Return all of them, in the order in which they were asked for."""
        asked = [said["task"] async for said in self._messages(conversation) if said.get("role") == "user"]
        views: list[TaskView] = []
        for start in range(0, len(asked), PAGE):
            found = await asyncio.gather(*map(self.view, asked[start : start + PAGE]))
            views += [view for view in found if view is not None]
        return views

    async def output(self, view: TaskView) -> list[Any]:
        """Return what the answer of a completed task consists of; nothing for any other."""
        if view.output is None:
            return []
        return await self._output(view.conversation, view.task, view.output, view.items)

    async def history(self, view: TaskView) -> list[Message]:
        """Return what was said in it: the question, and the answer if there is one."""
        said: list[Message] = []
        async for message in self._messages(view.conversation):
            if message.get("task") != view.task:
                continue
            if message.get("role") == "user":
                said.append(words.asked(view, message["text"]))
            else:
                output = await self._output(view.conversation, view.task, message["output"], message.get("items"))
                if output:
                    said.append(words.answered(view, output))
            if len(said) == (2 if view.output else 1):
                break
        return said

    async def _messages(self, conversation: str) -> AsyncIterator[Mapping[str, Any]]:
        after = 0
        while page := await self._state.messages(conversation, after=after, limit=PAGE):
            for message in page:
                if isinstance(message, Mapping):
                    yield message
            after += len(page)

    async def _output(self, conversation: str, task: str, step: str, items: int | None) -> list[Any]:
        names = (
            [output_name(task, step)] if items is None else [output_name(task, step, item) for item in range(items)]
        )
        output: list[Any] = []
        for start in range(0, len(names), PAGE):
            kept = await asyncio.gather(
                *(self._state.get(conversation, name) for name in names[start : start + PAGE])
            )
            for entry in kept:
                if entry is not None and isinstance(entry.value, Mapping):
                    value = entry.value.get("output")
                    output += value if isinstance(value, list) and items is None else [value]
        return output
