from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from agentstack_runtime.inference import Prompt, Refused

pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")

from agentstack_runtime.inference.onnx import Onnx

from . import onnx_files as files

LINEAR = files.model(
    nodes=[files.node("MatMul", ["x", "w"], "xw"), files.node("Add", ["xw", "b"], "y")],
    inputs=[files.value("x", files.FLOAT, ["n", 2])],
    outputs=[files.value("y", files.FLOAT, ["n", 1])],
    initial=[files.tensor("w", [2, 1], [2, 3]), files.tensor("b", [1], [0.5])],
)
SAME = files.model(
    nodes=[files.node("Identity", ["texts"], "same"), files.node("Neg", ["numbers"], "negative")],
    inputs=[files.value("texts", files.STRING, ["n"]), files.value("numbers", files.INT64, ["m"])],
    outputs=[files.value("same", files.STRING, ["n"]), files.value("negative", files.INT64, ["m"])],
    initial=[],
)


def saved(folder: Path, content: bytes) -> Onnx:
    path = folder / "model.onnx"
    path.write_bytes(content)
    return Onnx(path)


async def run(model: Onnx, inputs: Any) -> Any:
    return json.loads((await model.complete(Prompt.of(json.dumps(inputs)))).text)


async def test_tensors_in_and_tensors_out(tmp_path: Path) -> None:
    model = saved(tmp_path, LINEAR)
    answer = await model.complete(Prompt.of('{"x": [[1, 1], [0.5, 2]]}', system="is not looked at"))
    assert json.loads(answer.text) == {"y": [[5.5], [7.5]]}
    assert (answer.backend, answer.model, answer.finish_reason) == ("onnx", str(tmp_path / "model.onnx"), "stop")
    assert (answer.input_tokens, answer.output_tokens) == (None, None)
    async with aclosing(model.stream(Prompt.of('{"x": [[1, 1]]}'))) as stream:
        (chunk,) = [chunk async for chunk in stream]
    assert chunk.text == '{"y": [[5.5]]}'
    assert chunk.answer is not None
    assert chunk.answer.text == chunk.text


async def test_texts_and_integers(tmp_path: Path) -> None:
    inputs = {"texts": ["größer", ""], "numbers": [2**53 + 1, -1]}
    assert await run(saved(tmp_path, SAME), inputs) == {"same": ["größer", ""], "negative": [-(2**53) - 1, 1]}


async def test_probabilities_by_label(tmp_path: Path) -> None:
    labels = files.strings("classlabels_strings", "no", "yes")
    model = saved(
        tmp_path,
        files.model(
            nodes=[files.node("ZipMap", ["x"], "p", labels, domain="ai.onnx.ml")],
            inputs=[files.value("x", files.FLOAT, ["n", 2])],
            outputs=[files.maps("p")],
            initial=[],
        ),
    )
    assert await run(model, {"x": [[0.25, 0.75]]}) == {"p": [{"no": 0.25, "yes": 0.75}]}


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        [],
        {"y": [[1, 1]]},
        {"x": [[1, 1]], "more": 1},
        {"x": [[1, 1, 1]]},
        {"x": [1, 1]},
        {"x": [[1, 1], [1]]},
        {"x": [["1", "secret"]]},
        {"x": [[True, False]]},
        {"x": None},
        {"x": {"a": 1}},
    ],
)
async def test_inputs_that_do_not_fit_are_refused_with_what_would(tmp_path: Path, inputs: Any) -> None:
    with pytest.raises(Refused, match=r"`x`( is not)? tensor\(float\) \[any, 2\]") as caught:
        await run(saved(tmp_path, LINEAR), inputs)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("wrong", [[1.5], ["1"], [2**64], [True], [[1]]])
async def test_integers_are_integers(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(Refused, match=r"input `numbers` is not tensor\(int64\)"):
        await run(saved(tmp_path, SAME), {"texts": ["a"], "numbers": wrong})


@pytest.mark.parametrize("wrong", [[1], [None], [["a"]], [{"a": 1}]])
async def test_texts_are_texts(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(Refused, match=r"input `texts` is not tensor\(string\)"):
        await run(saved(tmp_path, SAME), {"texts": wrong, "numbers": [1]})


@pytest.mark.parametrize("said", ["not json", "[" * 100_000, '{"x": [[NaN, 1]]}', '{"x": [[1e400, 1]]}'])
async def test_words_and_what_json_cannot_say(tmp_path: Path, said: str) -> None:
    with pytest.raises(Refused):
        await saved(tmp_path, LINEAR).complete(Prompt.of(said))


async def test_another_model_is_refused(tmp_path: Path) -> None:
    model = saved(tmp_path, LINEAR)
    with pytest.raises(Refused, match="one model"):
        await model.complete(Prompt(messages=Prompt.of('{"x": [[1, 1]]}').messages, model="/etc/passwd"))


def test_what_is_no_model_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no file .*missing\.onnx; put the model into the agent's image"):
        Onnx(tmp_path / "missing.onnx")
    with pytest.raises(ValueError, match="cannot be loaded as an ONNX model"):
        saved(tmp_path, b"not a model")


async def test_cancelling_ends_the_run_itself(tmp_path: Path) -> None:
    size, steps = 700, 1000  # far more work than the test waits for
    model = saved(
        tmp_path,
        files.model(
            nodes=[
                files.node("Mul", ["w", "x"], "a0"),
                *(files.node("MatMul", [f"a{step}", "w"], f"a{step + 1}") for step in range(steps)),
                files.node("ReduceSum", [f"a{steps}"], "y"),
            ],
            inputs=[files.value("x", files.FLOAT, [1])],
            outputs=[files.value("y", files.FLOAT, ["i", "j"])],
            initial=[files.tensor("w", [size, size], [1 / size] * size**2)],
        ),
    )
    call = asyncio.create_task(run(model, {"x": [1]}))
    await asyncio.sleep(0.2)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    # It waits for the run's thread.
    await asyncio.wait_for(asyncio.get_running_loop().shutdown_default_executor(), 5)
