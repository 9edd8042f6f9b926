"""What the kinds of steps have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pydantic import JsonValue

Undo = Callable[[], Awaitable[None]]


class StepFailed(Exception):
    """A step did not work. The message is for the client: short, without content and without secrets.

    `retryable`: the same call may work later. `retry_after`: seconds that the other side asked to wait, if it did.
    """

    def __init__(self, reason: str, *, retryable: bool, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retryable = retryable
        self.retry_after = retry_after


@dataclass
class Work:
    """One command under way, through all its attempts. Attempts write down in it what is true after they failed too."""

    id: str
    """The command's: whoever is called gets it, to know a repetition."""
    values: Mapping[str, str]
    """What the references in the step's texts stand for."""
    traceparent: str = ""
    model: str | None = None
    backend: str | None = None
    input_tokens: int | None = None
    """Of all attempts: those that failed cost as much."""
    output_tokens: int | None = None
    failures: int = 0
    """Ends of the other side that a new attempt must not meet again."""
    undo: Undo | None = None
    """Stops what the other side still does; called when nobody wants it any more."""


_Call = TypeVar("_Call", contravariant=True)


class Kind(Protocol[_Call]):
    """One kind of step."""

    async def run(self, call: _Call, work: Work) -> JsonValue:
        """Do it, once; return its output: a text, or a value that a function made.

        Cancelling the task ends the call on this side only.

        Raises:
            StepFailed: it did not work.
        """
        ...


Kinds = Mapping[type, Kind[Any]]
"""What does a step, by the class of its call."""
