"""What the references in a step's texts stand for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Final, cast

from pydantic import JsonValue

from agentstack_runtime.state import State
from agentstack_services.domain.ids import input_name, output_name
from agentstack_services.domain.messages import RunStep

from .outputs import as_text
from .steps import StepFailed

INPUT: Final = "input"
ITEM: Final = "item"
PAGE: Final = 50
"""Items of a fan-out that are read at a time."""
PATIENCE: Final = 30.0
"""Seconds in which an input may still turn up: a replica of Redis that became master may be a moment behind."""
LOOK: Final = 0.5
"""Seconds between two looks."""


class Inputs:
    """Reads them from the conversation's state."""

    def __init__(self, state: State, *, patience: float = PATIENCE) -> None:
        self._state, self._patience = state, patience

    async def values(self, command: RunStep) -> Mapping[str, str]:
        """Return the texts for all names that the step refers to.

        Raises:
            StepFailed: one is missing and did not turn up.
            Unavailable: Redis does not answer.
        """
        return {name: await self._value(command, name) for name in sorted(command.definition.references)}

    async def _value(self, command: RunStep, name: str) -> str:
        if name == INPUT:
            return as_text(await self._read(command, input_name(command.task), "the client's message"))
        source = command.definition.for_each if name == ITEM else name
        if source is None or source not in command.outputs:
            raise StepFailed(f"${{{name}}} refers to nothing that this step can see", retryable=False)
        items = command.outputs[source]
        if name == ITEM:
            return as_text(await self._item(command, source, items))
        if items is None:
            return as_text(await self._output(command, source, None))
        return "\n\n".join([as_text(output) async for output in self._outputs(command, source, items)])

    async def _item(self, command: RunStep, source: str, items: int | None) -> JsonValue:
        number = command.item or 0
        if items is not None:  # A fan-out over a fan-out: its items are kept one by one.
            return await self._output(command, source, number)
        output = await self._output(command, source, None)
        if not isinstance(output, list) or number >= len(output):
            raise StepFailed(f"the output of step {source} has no item {number}", retryable=False)
        return output[number]

    async def _outputs(self, command: RunStep, source: str, items: int) -> AsyncIterator[JsonValue]:
        for start in range(0, items, PAGE):
            page = range(start, min(start + PAGE, items))
            for output in await asyncio.gather(*(self._output(command, source, item) for item in page)):
                yield output

    async def _output(self, command: RunStep, source: str, item: int | None) -> JsonValue:
        kept = await self._read(command, output_name(command.task, source, item), f"the output of step {source}")
        return kept["output"] if isinstance(kept, dict) else None

    async def _read(self, command: RunStep, name: str, what: str) -> JsonValue:
        for _ in range(max(1, round(self._patience / LOOK))):
            saved = await self._state.get(command.conversation, name)
            if saved is not None:
                return cast(JsonValue, saved.value)
            await asyncio.sleep(LOOK)
        raise StepFailed(f"{what} is missing in Redis", retryable=False)
