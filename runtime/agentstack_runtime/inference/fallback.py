"""Several models in a row: the next answers where one cannot."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from .protocol import Answer, Chunk, InferenceError, Model, Prompt


def fallback(*models: Model) -> Model:
    """Return a model that asks `models` in their order until one answers; `Answer` says which did.

    The next one is asked after `CircuitOpen`, `Timeout` and other errors that are `retryable`. `Refused` ends the row:
    a prompt that one model refuses is not passed round until somebody takes it. A stream stays with the model that
    gave its first chunk. `Prompt.model` means the first model's backend, so that the others answer with their own.
    """
    if not models:
        raise ValueError("a fallback needs at least one model")
    return models[0] if len(models) == 1 else _Fallback(models)


class _Fallback:
    def __init__(self, models: tuple[Model, ...]) -> None:
        self._models = models

    async def complete(self, prompt: Prompt) -> Answer:
        errors: list[InferenceError] = []
        for model in self._models:
            try:
                return await model.complete(_for_turn(prompt, len(errors)))
            except InferenceError as error:
                if not error.retryable:
                    raise
                errors.append(error)
        raise _none_answered(errors)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        errors: list[InferenceError] = []
        for model in self._models:
            async with aclosing(model.stream(_for_turn(prompt, len(errors)))) as chunks:
                try:
                    first = await anext(chunks)
                except InferenceError as error:
                    if not error.retryable:
                        raise
                    errors.append(error)
                    continue
                yield first
                async for chunk in chunks:
                    yield chunk
                return
        raise _none_answered(errors)

    async def close(self) -> None:
        for model in self._models:
            await model.close()


def _for_turn(prompt: Prompt, turn: int) -> Prompt:
    return prompt if turn == 0 else replace(prompt, model=None)


def _none_answered(errors: list[InferenceError]) -> InferenceError:
    waits = [error.retry_after for error in errors if error.retry_after is not None]
    return InferenceError(
        "no model of the fallback answered: " + "; ".join(str(error) for error in errors),
        retryable=True,
        retry_after=min(waits, default=None),
    )
