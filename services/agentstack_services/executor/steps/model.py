"""Steps that a model does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from pydantic import JsonValue

from agentstack_runtime.inference import InferenceError, Model, Prompt
from agentstack_services.workflows.model import ModelCall, render

from .work import StepFailed, Work

_DECLINED = frozenset({"refusal", "content_filter"})


class ModelStep:
    """Asks the model of the environment, which can be exchanged while calls are under way."""

    def __init__(self, model: Model | None) -> None:
        self._model = model
        self._calls: dict[int, int] = {}

    async def run(self, call: ModelCall, work: Work) -> JsonValue:
        """Return what the model answers."""
        asked = Prompt.of(
            render(call.prompt, work.values),
            system=None if call.system is None else render(call.system, work.values),
        )
        prompt = replace(asked, model=call.name, max_output_tokens=call.max_output_tokens)
        async with self._in_use() as model:
            try:
                answer = await model.complete(prompt)
            except InferenceError as error:
                raise StepFailed(str(error), retryable=error.retryable, retry_after=error.retry_after) from error
        work.model, work.backend = answer.model, answer.backend
        work.input_tokens = _sum(work.input_tokens, answer.input_tokens)
        work.output_tokens = _sum(work.output_tokens, answer.output_tokens)
        if answer.finish_reason in _DECLINED:
            raise StepFailed(f"the model {answer.model} declined to answer", retryable=False)
        return answer.text

    async def exchange(self, model: Model | None) -> None:
        """Use `model` from now on; the one before is closed after its last call."""
        old, self._model = self._model, model
        if old is not None:
            while self._calls.get(id(old)):
                await asyncio.sleep(0.1)
            await old.close()

    async def close(self, seconds: float) -> None:
        """Give back connections; a step of the shutdown."""
        if self._model is not None:
            await self._model.close()

    @asynccontextmanager
    async def _in_use(self) -> AsyncIterator[Model]:
        model = self._model
        if model is None:
            raise StepFailed("the executor has no model: say `inference:` in its agent's file", retryable=False)
        self._calls[id(model)] = self._calls.get(id(model), 0) + 1
        try:
            yield model
        finally:
            self._calls[id(model)] -= 1
            if not self._calls[id(model)]:
                del self._calls[id(model)]


def _sum(before: int | None, more: int | None) -> int | None:
    return before if more is None else (before or 0) + more
