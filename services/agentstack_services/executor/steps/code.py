"""Steps that a function of the image does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points

from pydantic import JsonValue

from agentstack_services.workflows.model import CodeCall, render

from .work import StepFailed, Work

GROUP = "agentstack.steps"
"""The entry points that are such functions; a step names one by the entry point's name."""

Function = Callable[[Mapping[str, str]], JsonValue]
"""Gets the step's arguments; returns its output: a text, or a list or object of JSON. Called in a thread."""


def registered() -> dict[str, Function]:
    """Return the functions that the installed distributions register, by name."""
    return {point.name: point.load() for point in entry_points(group=GROUP)}


class CodeStep:
    """Calls functions. One that does not return keeps its thread: `threads` of them, and no more are called."""

    def __init__(self, functions: Mapping[str, Function], *, threads: int) -> None:
        self._functions = functions
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="code-step")

    async def run(self, call: CodeCall, work: Work) -> JsonValue:
        """Return what the function does."""
        function = self._functions.get(call.function)
        if function is None:
            known = ", ".join(sorted(self._functions)) or "none"
            raise StepFailed(f"the image has no function {call.function}; it has: {known}", retryable=False)
        arguments = {name: render(value, work.values) for name, value in call.arguments.items()}
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, arguments)
        except StepFailed:
            raise
        except Exception as error:  # It is anybody's code. Its message may hold anything, its type does not.
            raise StepFailed(f"{call.function} raised {type(error).__name__}", retryable=True) from error

    async def close(self, seconds: float) -> None:
        """Let no more functions begin; a step of the shutdown."""
        self._threads.shutdown(wait=False, cancel_futures=True)
