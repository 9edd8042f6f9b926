from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace

import pytest

from agentstack_runtime.inference import (
    CircuitOpen,
    Echo,
    InferenceError,
    Model,
    Prompt,
    RateLimited,
    Refused,
    Timeout,
    fallback,
)

from .test_resilient import BROKEN, Double

PROMPT = Prompt.of("hi")


async def collect(model: Model, prompt: Prompt = PROMPT) -> list[str]:
    async with aclosing(model.stream(prompt)) as stream:
        return [chunk.answer.backend if chunk.answer else chunk.text async for chunk in stream]


@pytest.mark.parametrize("error", [CircuitOpen("open"), Timeout("late"), BROKEN, RateLimited("slow")])
async def test_the_next_answers_where_one_cannot_and_the_answer_says_who(error: InferenceError) -> None:
    model = fallback(Double(error), Double(error), Echo())
    assert (await model.complete(PROMPT)).backend == "echo"
    assert await collect(model) == ["[echo]", " hi", "echo"]


async def test_the_first_that_answers_is_the_last_that_is_asked() -> None:
    first, second = Double([]), Double([])
    model = fallback(first, second)
    assert (await model.complete(PROMPT)).backend == "double"
    assert await collect(model) == ["double"]
    assert (first.calls, second.calls) == (2, 0)


async def test_a_refused_prompt_is_not_passed_round() -> None:
    second = Double([])
    model = fallback(Double(Refused("no")), second)
    with pytest.raises(Refused):
        await model.complete(PROMPT)
    with pytest.raises(Refused):
        await collect(model)
    assert second.calls == 0


async def test_a_stream_stays_with_the_model_that_gave_its_first_chunk() -> None:
    first, second = Double(["one", BROKEN]), Double([])
    got = []
    with pytest.raises(InferenceError, match="500"):
        async for chunk in fallback(first, second).stream(PROMPT):
            got.append(chunk.text)
    assert (got, second.calls) == (["one"], 0)


async def test_when_none_answers_the_error_names_all_and_the_soonest_time() -> None:
    model = fallback(Double(CircuitOpen("first is open", retry_after=9)), Double(RateLimited("slow", retry_after=3)))
    for ask in (model.complete, lambda prompt: collect(model, prompt)):
        with pytest.raises(InferenceError, match="no model of the fallback answered: first is open; slow") as caught:
            await ask(PROMPT)
        assert caught.value.retryable
        assert caught.value.retry_after == 3


async def test_a_models_name_is_for_its_own_backend() -> None:
    assert (await fallback(Double(BROKEN), Echo()).complete(replace(PROMPT, model="gpt-5"))).model == "echo"
    assert (await fallback(Echo(), Echo()).complete(replace(PROMPT, model="gpt-5"))).model == "gpt-5"


async def test_closing_the_stream_closes_that_of_the_model() -> None:
    inner = Double(["one", 5.0, "two"])
    async with aclosing(fallback(inner, Echo()).stream(PROMPT)) as stream:
        await anext(stream)
    assert inner.cancelled == 1


def test_one_is_itself_and_none_is_a_mistake() -> None:
    echo = Echo()
    assert fallback(echo) is echo
    with pytest.raises(ValueError, match="at least one"):
        fallback()
