"""What references stand for, and what an output becomes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentstack_services.executor.inputs import Inputs
from agentstack_services.executor.outputs import OUTPUT_BYTES, as_text, shaped
from agentstack_services.executor.steps import StepFailed
from agentstack_services.workflows.model import Step

from .conftest import TEXT, Bench, command


def asking(text: str, **options: Any) -> Any:
    return command(code={"function": "f", "arguments": {"text": text}}, **options)


async def test_every_kind_of_reference(bench: Bench) -> None:
    await bench.output("plan", ["one", "two"])
    await bench.output("facts", {"a": "\u00e4"})
    await bench.output("look", "first", 0)
    await bench.output("look", ["second", "third"], 1)
    run = asking(
        "${input} ${plan} ${item} ${look} ${facts} $${literally}",
        item=1,
        forEach="plan",
        outputs={"plan": None, "look": 2, "facts": None},
    )
    assert await Inputs(bench.state).values(run) == {
        "input": TEXT,
        "plan": "one\ntwo",
        "item": "two",
        "look": "first\n\nsecond\nthird",
        "facts": '{"a": "\u00e4"}',
    }


async def test_an_item_of_a_fan_out_over_a_fan_out(bench: Bench) -> None:
    await bench.output("look", "second", 1)
    run = asking("${item}", item=1, forEach="look", outputs={"look": 2})
    assert await Inputs(bench.state).values(run) == {"item": "second"}


async def test_a_fan_out_without_items_is_an_empty_text(bench: Bench) -> None:
    assert await Inputs(bench.state).values(asking("${look}", outputs={"look": 0})) == {"look": ""}


async def test_more_items_than_are_read_at_a_time_keep_their_order(bench: Bench) -> None:
    for item in range(120):
        await bench.output("look", str(item), item)
    values = await Inputs(bench.state).values(asking("${look}", outputs={"look": 120}))
    assert values["look"].split("\n\n") == [str(item) for item in range(120)]


async def test_an_input_that_is_late_is_waited_for() -> None:
    bench = Bench()
    waiting = asyncio.create_task(Inputs(bench.state, patience=5).values(asking("${input}")))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await bench.input()
    assert await asyncio.wait_for(waiting, 5) == {"input": TEXT}


@pytest.mark.parametrize(
    ("text", "options", "reason"),
    [
        ("${input}", {}, "the client's message is missing in Redis"),
        ("${plan}", {"outputs": {"plan": None}}, "the output of step plan is missing in Redis"),
        ("${plan}", {}, "${plan} refers to nothing that this step can see"),
        ("${item}", {}, "${item} refers to nothing that this step can see"),
        ("${item}", {"item": 4, "forEach": "list", "outputs": {"list": None}}, "the output of step list has no item 4"),
        ("${item}", {"item": 0, "forEach": "word", "outputs": {"word": None}}, "the output of step word has no item 0"),
    ],
)
async def test_what_is_missing_is_named(text: str, options: dict, reason: str) -> None:
    bench = Bench()
    await bench.output("list", ["one"])
    await bench.output("word", "one")
    with pytest.raises(StepFailed) as failed:
        await Inputs(bench.state, patience=0.5).values(asking(text, **options))
    assert str(failed.value) == reason
    assert not failed.value.retryable


def step(output: str, limit: int = 10) -> Step:
    return Step.model_validate({"code": {"function": "f"}, "output": output, "limit": limit})


def shape(said: Any, output: str, limit: int = 10) -> Any:
    return shaped(said, step(output, limit), retryable=True)


def test_lines_lose_their_markers_blanks_and_rest() -> None:
    said = "Here:\n1. one\n 2) two \n\n- three\n* four\n\u2022 five\n-6 degrees\n2026 was\n10.5 m\n"
    lines = ["Here:", "one", "two", "three", "four", "five", "-6 degrees", "2026 was", "10.5 m"]
    assert shape(said, "lines") == lines
    assert shape(said, "lines", 2) == lines[:2]
    assert shape(["- one", "", 2], "lines") == ["one", "2"]


@given(st.text(), st.integers(1, 5))
def test_lines_are_never_blank_nor_too_many(said: str, limit: int) -> None:
    lines = shape(said, "lines", limit)
    assert len(lines) <= limit
    assert all(line and line == line.strip() for line in lines)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v), max_leaves=5))
def test_any_value_has_a_text(value: Any) -> None:
    assert isinstance(as_text(value), str)


@pytest.mark.parametrize("said", ['["a", {"b": 1}]', '```json\n["a", {"b": 1}]\n```', ' ["a", {"b": 1}, 3]'])
def test_json_is_read_also_where_a_model_fenced_it(said: str) -> None:
    assert shape(said, "json", 2) == ["a", {"b": 1}]


def test_an_object_is_not_cut() -> None:
    value = {str(number): number for number in range(5)}
    assert shape(json.dumps(value), "json", 1) == value
    assert shape(value, "json", 1) == value


@pytest.mark.parametrize("said", ["", "secret words", "3", '"text"', "null", "[NaN]", "[" * 100_000, "[1,"])
def test_what_is_no_list_and_no_object_fails_without_being_repeated(said: str) -> None:
    with pytest.raises(StepFailed, match="JSON") as failed:
        shape(said, "json")
    assert failed.value.retryable
    assert "secret" not in str(failed.value)


@pytest.mark.parametrize("output", ["text", "lines", "json"])
def test_an_output_is_bounded(output: str) -> None:
    with pytest.raises(StepFailed, match=f"more than {OUTPUT_BYTES} bytes"):
        shape("\u00e4" * (OUTPUT_BYTES // 2 + 1), output)


def test_a_value_as_text_is_json() -> None:
    assert shape({"a": 1}, "text") == '{"a": 1}'
