"""What a caller of a model sees: a prompt, an answer, a stream of chunks, and the ways in which it fails."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal, Protocol, TypedDict, runtime_checkable

Role = Literal["system", "user", "assistant"]


class Turn(TypedDict):
    """One message of the conversation with the model; a plain mapping, as in OpenAI's API."""

    role: Role
    content: str


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What a model is asked."""

    messages: tuple[Turn, ...]
    """In order; at least one."""
    model: str | None = None
    """Another model than the contract's INFERENCE_MODEL, of the same backend."""
    max_output_tokens: int | None = None
    """The bound of the answer, reasoning included; `None` leaves it to the backend."""
    temperature: float | None = None
    """0 to 2; `None` leaves it to the backend. Some models refuse any."""

    def __post_init__(self) -> None:
        if not self.messages:
            raise ValueError("a prompt has at least one message")
        if self.max_output_tokens is not None and self.max_output_tokens < 1:
            raise ValueError("max_output_tokens is at least 1")

    @classmethod
    def of(cls, text: str, *, system: str | None = None) -> Prompt:
        """Return a prompt of one user message, after the instructions of `system`."""
        head: tuple[Turn, ...] = ({"role": "system", "content": system},) if system is not None else ()
        return cls(messages=(*head, {"role": "user", "content": text}))


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model answered, and who it was."""

    text: str
    model: str
    """The model that answered, as the backend calls it."""
    backend: str
    """`openai`, `azure`, `vllm`, `ollama`, `onnx` or `echo`."""
    input_tokens: int | None
    """As the backend counted; `None` where it does not say. Never an estimate."""
    output_tokens: int | None
    """As the backend counted; `None` where it does not say."""
    finish_reason: str
    """`stop`, `length`, `content_filter` or what else the backend says; `refusal` where the model declined."""
    cached_tokens: int | None = None
    """The part of `input_tokens` that came from a cache: never add it."""
    reasoning_tokens: int | None = None
    """The part of `output_tokens` that was reasoning: never add it."""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A piece of an answer while it is made."""

    text: str
    """What is new; may be empty."""
    answer: Answer | None = None
    """The whole answer, in the last chunk and only there."""


@runtime_checkable
class Model(Protocol):
    """What answers prompts: a backend, one with guards around it, or several in a row.

    Both calls raise `InferenceError` or one of its kinds, and nothing else of the backend's.
    """

    async def complete(self, prompt: Prompt) -> Answer:
        """Answer at once. Cancelling the task cancels the call."""
        ...

    def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        """Answer piece by piece; the last chunk carries the whole `Answer`.

        Closing the generator cancels the call and frees its connection. Whoever may leave it early does so with
        `async with contextlib.aclosing(model.stream(prompt)) as chunks:`, since `break` alone closes nothing.
        """
        ...

    async def close(self) -> None:
        """Give back connections. No call follows."""
        ...


class InferenceError(Exception):
    """A call failed. The message names backend, mistake and remedy; never the prompt, the answer or a key.

    `retryable`: the same call may succeed later. `retry_after`: seconds that the backend asked to wait, if it did.
    """

    def __init__(self, message: str, *, retryable: bool, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after = retry_after


class CircuitOpen(InferenceError):
    """The backend kept failing and is left alone for a while; nothing was sent. `retry_after` is when it is tried."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message, retryable=True, retry_after=retry_after)


class Timeout(InferenceError):
    """No answer, or no free slot, within REQUEST_TIMEOUT_SECONDS."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=True)


class RateLimited(InferenceError):
    """The backend asks to go slower (429). It is alive: this opens no circuit."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message, retryable=True, retry_after=retry_after)


class Refused(InferenceError):
    """The backend will not answer this prompt however often it is asked: a mistake in it, in the key or the model."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)
