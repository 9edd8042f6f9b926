"""Connections with faults, and the pieces that several tests build on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from agentstack_runtime.bus import Message
from agentstack_services.workflows.model import Workflow

START = datetime(2026, 1, 1, tzinfo=UTC)
CONVERSATION = "c1"
WRITES = ("append", "put", "save", "publish")


class Crash(Exception):
    """The process died here."""


class Faulty:
    """A connection that does as `inner`, but for its writes: `fault` is asked before and after each of them.

    `pause` is how often the event loop goes round before a call, so that replicas mix.
    """

    def __init__(
        self,
        inner: Any,
        fault: Callable[[str], None] = lambda place: None,
        pause: Callable[[], int] = lambda: 0,
    ) -> None:
        self._inner, self._fault, self._pause = inner, fault, pause

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if name not in (*WRITES, "get", "load", "messages"):
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            for _ in range(self._pause()):
                await asyncio.sleep(0)
            if name not in WRITES:
                return await method(*args, **kwargs)
            self._fault(f"before {name}")
            result = await method(*args, **kwargs)
            self._fault(f"after {name}")
            return result

        return call


class CrashAt:
    """Raises at the `number`-th place that it is asked about, once."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.place = ""

    def __call__(self, place: str) -> None:
        self.left -= 1
        if self.left == -1:
            self.place = place
            raise Crash(place)


class Published:
    """A bus that only remembers."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, Message]] = []

    async def publish(self, topic: str, *messages: Message) -> None:
        self.messages += ((topic, message) for message in messages)

    def on(self, topic: str) -> list[Message]:
        return [message for where, message in self.messages if where == topic]


def workflow(steps: dict[str, dict[str, Any]], *, output: str, name: str = "research", timeout: float = 60) -> Workflow:
    return Workflow.model_validate({"name": name, "timeout": timeout, "steps": steps, "output": output})


RESEARCH = workflow(
    {
        "plan": {"model": {"prompt": "${input}"}, "output": "lines"},
        "aside": {"model": {"prompt": "${input}"}},
        "look": {"model": {"prompt": "${item}"}, "forEach": "plan", "needs": ["plan"]},
        "sum": {"model": {"prompt": "${look} ${aside}"}, "needs": ["look", "aside"]},
    },
    output="sum",
)


def clock(seconds: float = 0) -> Callable[[], datetime]:
    return lambda: START + timedelta(seconds=seconds)


def pick(choices: Sequence[int], number: int, of: int) -> int:
    """Return one of `of`, by the choices that hypothesis drew."""
    return choices[number % len(choices)] % of if choices else 0
