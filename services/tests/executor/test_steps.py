"""Models and functions as steps."""

from __future__ import annotations

import asyncio
import time
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from agentstack_runtime.inference import Answer, Echo, Refused, Timeout
from agentstack_services.executor.functions import join, pick_lines
from agentstack_services.executor.steps import StepFailed, Work
from agentstack_services.executor.steps.code import GROUP, CodeStep
from agentstack_services.executor.steps.model import ModelStep
from agentstack_services.workflows.model import CodeCall, ModelCall


class Scripted:
    """A model that answers as the test says."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.prompts, self.closed = list(answers), [], False
        self.gate = asyncio.Event()
        self.gate.set()

    async def complete(self, prompt: Any) -> Answer:
        self.prompts.append(prompt)
        await self.gate.wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        self.closed = True


def answer(text: str = "yes", finish: str = "stop", tokens: int | None = 3) -> Answer:
    return Answer(
        text=text, model="m-1", backend="vllm", input_tokens=tokens, output_tokens=tokens, finish_reason=finish
    )


async def test_a_model_is_asked_and_its_tokens_are_added() -> None:
    model, work = Scripted(answer(), answer(tokens=None), answer()), Work("id", {"input": "why"})
    step = ModelStep(model)
    call = ModelCall(prompt="Say ${input}", system="For ${input}", name="big", max_output_tokens=9)
    assert [await step.run(call, work) for _ in range(3)] == ["yes"] * 3
    assert (work.model, work.backend, work.input_tokens, work.output_tokens) == ("m-1", "vllm", 6, 6)
    prompt = model.prompts[0]
    assert prompt.messages == ({"role": "system", "content": "For why"}, {"role": "user", "content": "Say why"})
    assert (prompt.model, prompt.max_output_tokens) == ("big", 9)


async def test_echo_says_what_it_was_asked() -> None:
    assert await ModelStep(Echo()).run(ModelCall(prompt="${input}"), Work("id", {"input": "hi"})) == "[echo] hi"


@pytest.mark.parametrize(("error", "retryable"), [(Refused("no such model"), False), (Timeout("late"), True)])
async def test_errors_of_a_model(error: Exception, retryable: bool) -> None:
    with pytest.raises(StepFailed, match=str(error)) as failed:
        await ModelStep(Scripted(error)).run(ModelCall(prompt="p"), Work("id", {}))
    assert failed.value.retryable is retryable


async def test_a_model_that_declines_is_paid_and_not_asked_again() -> None:
    work = Work("id", {})
    with pytest.raises(StepFailed, match="m-1 declined") as failed:
        await ModelStep(Scripted(answer("", "content_filter"))).run(ModelCall(prompt="p"), work)
    assert not failed.value.retryable
    assert work.input_tokens == 3


async def test_without_a_model_the_reason_says_what_to_do() -> None:
    with pytest.raises(StepFailed, match="say `inference:`"):
        await ModelStep(None).run(ModelCall(prompt="p"), Work("id", {}))


async def test_an_exchanged_model_finishes_its_calls_first() -> None:
    old, new = Scripted(answer("old")), Scripted(answer("new"))
    old.gate.clear()
    step = ModelStep(old)
    first = asyncio.create_task(step.run(ModelCall(prompt="p"), Work("id", {})))
    await asyncio.sleep(0)
    exchange = asyncio.create_task(step.exchange(new))
    await asyncio.sleep(0.05)
    assert await step.run(ModelCall(prompt="p"), Work("id", {})) == "new"
    assert not old.closed
    old.gate.set()
    assert await first == "old"
    await asyncio.wait_for(exchange, 5)
    assert old.closed
    assert not new.closed


async def code(function: Any, **arguments: str) -> Any:
    step = CodeStep({"f": function}, threads=1)
    try:
        return await step.run(CodeCall(function="f", arguments=arguments), Work("id", {"input": "x"}))
    finally:
        await step.close(1)


async def test_a_function_gets_its_arguments() -> None:
    assert await code(dict, a="${input}!", b="$${input}") == {"a": "x!", "b": "${input}"}


async def test_a_function_that_fails_tells_only_the_type_of_it() -> None:
    def fail(arguments: Any) -> None:
        raise RuntimeError("hunter2")

    with pytest.raises(StepFailed) as failed:
        await code(fail)
    assert str(failed.value) == "f raised RuntimeError"
    assert failed.value.retryable


async def test_an_unknown_function() -> None:
    step = CodeStep({"join": join}, threads=1)
    with pytest.raises(StepFailed, match="no function jion; it has: join"):
        await step.run(CodeCall(function="jion"), Work("id", {}))


async def test_a_slow_function_does_not_stop_the_others() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(code(lambda arguments: time.sleep(0.5)), 0.05)
    assert time.monotonic() - began < 0.4


def test_join() -> None:
    assert join({"Findings": "a\nb", "Sources": "c"}) == "Findings:\na\nb\n\nSources:\nc"


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ({}, ["Red apple", "pear", "red plum"]),
        ({"containing": "RED"}, ["Red apple", "red plum"]),
        ({"first": "2"}, ["Red apple", "pear"]),
        ({"containing": "red", "first": "1"}, ["Red apple"]),
    ],
)
def test_pick_lines(arguments: dict, lines: list) -> None:
    assert pick_lines({"text": "Red apple\n\n pear\nred plum\npear", **arguments}) == lines


@pytest.mark.parametrize(
    "arguments", [{}, {"text": "a", "first": "0"}, {"text": "a", "first": "-1"}, {"text": "a", "first": "x"}]
)
def test_pick_lines_says_what_is_wrong(arguments: dict) -> None:
    with pytest.raises(StepFailed, match="the argument"):
        pick_lines(arguments)


def test_the_image_registers_its_functions() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    points = {name: EntryPoint(name, value, GROUP) for name, value in project["entry-points"][GROUP].items()}
    assert {name: point.load() for name, point in points.items()} == {"join": join, "pick_lines": pick_lines}
