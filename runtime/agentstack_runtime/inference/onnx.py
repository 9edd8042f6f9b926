"""A model in the agent's own process, by ONNX Runtime: tensors in, tensors out.

Any ONNX model whose inputs and outputs are tensors of numbers, booleans or texts: classifiers, regressors, rankers,
embeddings, and pipelines that carry their own text features. The prompt's last user message is a JSON object of the
inputs by name, each a nested list; the answer is a JSON object of the outputs by name. Outputs that are maps, or
lists of maps (the probabilities of scikit-learn's exports), come as JSON objects.

Left out: text generation (it needs a tokenizer, a sampler and a cache of keys and values: let vLLM or Ollama serve
that), streaming in pieces, counting tokens, changing the model in a running process. `temperature`,
`max_output_tokens` and messages before the last user message mean nothing here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]

from .protocol import Answer, Chunk, Prompt, Refused

BACKEND = "onnx"

_TYPES: Mapping[str, Any] = {
    "tensor(bool)": np.bool_,
    "tensor(double)": np.float64,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(int8)": np.int8,
    "tensor(string)": np.object_,
    "tensor(uint8)": np.uint8,
}


class Onnx:
    """Runs the model at `path`, with the GPU where the installed ONNX Runtime has one.

    Cancelling a call ends the run within the model, not only the wait for it.
    Raises `ValueError` where there is no such file, or it is no model that this can serve.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ValueError(f"there is no file {path}; put the model into the agent's image")
        try:
            self._session = ort.InferenceSession(path, providers=ort.get_available_providers())
        except Exception as error:  # it has a dozen of its own, without a common parent
            raise ValueError(f"{path} cannot be loaded as an ONNX model ({type(error).__name__})") from None
        self._name = str(path)
        self._inputs = {one.name: one for one in self._session.get_inputs()}
        if strange := sorted({one.type for one in self._inputs.values()} - _TYPES.keys()):
            raise ValueError(f"{path} takes {', '.join(strange)}; only {', '.join(_TYPES)} are served")

    async def complete(self, prompt: Prompt) -> Answer:
        """Run the model once. Raises `Refused` for inputs that do not fit it, `InferenceError` where it fails."""
        if prompt.model not in (None, self._name):
            raise Refused("onnx: this process has one model, that of INFERENCE_MODEL; leave out `model`")
        feed = self._feed(prompt)
        options = ort.RunOptions()
        run = asyncio.get_running_loop().run_in_executor(None, self._session.run, None, feed, options)
        try:
            found = await asyncio.shield(run)
        except asyncio.CancelledError:
            options.terminate = True
            run.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody waits for it any more
            raise
        except Exception as error:
            # Its text quotes shapes and values; the inputs were checked, so that what is left is the model's.
            raise Refused(f"onnx: the model cannot work on these inputs ({type(error).__name__})") from None
        names = (one.name for one in self._session.get_outputs())
        try:
            text = json.dumps(dict(zip(names, map(_plain, found), strict=True)), allow_nan=False)
        except (TypeError, ValueError):
            raise Refused("onnx: the outputs hold NaN, infinity or what else JSON has no word for") from None
        return Answer(
            text=text, model=self._name, backend=BACKEND, input_tokens=None, output_tokens=None, finish_reason="stop"
        )

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        """Give the whole answer as one chunk."""
        answer = await self.complete(prompt)
        yield Chunk(text=answer.text, answer=answer)

    async def close(self) -> None:
        """Nothing is held that the process's end does not free."""

    def _feed(self, prompt: Prompt) -> dict[str, Any]:
        said = next((turn["content"] for turn in reversed(prompt.messages) if turn["role"] == "user"), "")
        try:
            values = json.loads(said)
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict) or values.keys() != self._inputs.keys():
            wanted = ", ".join(f"`{name}` {one.type} {_shape(one)}" for name, one in self._inputs.items())
            raise Refused(f"onnx: the last user message is not a JSON object of the inputs: {wanted}")
        return {name: self._tensor(name, value) for name, value in values.items()}

    def _tensor(self, name: str, value: object) -> Any:
        wanted = self._inputs[name]
        problem = Refused(f"onnx: input `{name}` is not {wanted.type} {_shape(wanted)}")
        try:
            raw = np.array(value)
            exact = np.array(value, dtype=_TYPES[wanted.type])
        except (ValueError, TypeError, OverflowError):
            raise problem from None
        if raw.dtype.kind not in _KINDS[exact.dtype.kind] or len(wanted.shape) != exact.ndim:
            raise problem
        if any(isinstance(size, int) and size != got for size, got in zip(wanted.shape, exact.shape, strict=True)):
            raise problem
        return exact


_KINDS = {"b": "b", "f": "fiu", "i": "iu", "u": "iu", "O": "U"}
"""What JSON may hold for each kind of tensor: no texts for numbers, no fractions for integers."""


def _shape(one: Any) -> str:
    return "[" + ", ".join(str(size) if isinstance(size, int) else "any" for size in one.shape) + "]"


def _plain(value: Any) -> Any:
    match value:
        case np.ndarray() | np.generic():
            return value.tolist()
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value
