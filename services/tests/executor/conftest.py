"""Commands, and an executor whose steps are told what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from agentstack_runtime.bus import Message
from agentstack_runtime.state.memory import MemoryState
from agentstack_services.domain.ids import command_id, input_name, output_name, task_of_message
from agentstack_services.domain.messages import RunStep, StepResult, Trail, now
from agentstack_services.executor.inputs import Inputs
from agentstack_services.executor.service import Executor
from agentstack_services.executor.steps import Work
from agentstack_services.workflows.model import CodeCall, Step
from tests.doubles import CONVERSATION, Published

TASK = task_of_message(CONVERSATION, "m1")
TRACE = f"00-{'1' * 32}-{'2' * 16}-01"
TEXT = "the client's text"


def command(
    step: str = "say",
    item: int | None = None,
    *,
    outputs: dict[str, int | None] | None = None,
    deadline: datetime | None = None,
    **definition: Any,
) -> RunStep:
    definition = {"code": {"function": "f", "arguments": {"text": "${input}"}}, **definition}
    definition["retries"] = {"max": 0, "backoff": 0.001, "maxBackoff": 0.01, **definition.get("retries", {})}
    if any(kind in definition for kind in ("model", "agent", "http")):
        del definition["code"]
    return RunStep(
        conversation=CONVERSATION,
        task=TASK,
        id=command_id(TASK, step, item),
        workflow="w",
        step=step,
        item=item,
        definition=Step.model_validate(definition),
        outputs=outputs or {},
        client_message_id="m1",
        deadline=deadline or now() + timedelta(seconds=30),
    )


class Acting:
    """A kind of step that does what the test says, and counts."""

    def __init__(self, act: Callable[[Work], Awaitable[Any]] | None = None) -> None:
        self.act, self.works = act, list[Work]()

    async def run(self, call: CodeCall, work: Work) -> Any:
        self.works.append(work)
        return await self.act(work) if self.act else "done"

    async def close(self, seconds: float) -> None: ...


class Bench:
    """One state, one bus, and executors on them."""

    def __init__(self) -> None:
        self.state, self.bus = MemoryState(), Published()

    def executor(self, kind: Any, *, state: Any = None, bus: Any = None, **options: Any) -> Executor:
        state = state or self.state
        options = {"inputs": Inputs(state, patience=0.5), "look": 0.02, **options}
        return Executor(state, bus or self.bus, {CodeCall: kind}, **options)

    async def input(self, text: str = TEXT) -> None:
        await self.state.put(CONVERSATION, input_name(TASK), text)

    async def output(self, step: str, value: Any, item: int | None = None) -> None:
        await self.state.put(CONVERSATION, output_name(TASK, step, item), {"output": value, "result": {}})

    async def kept(self, command: RunStep) -> Any:
        saved = await self.state.get(CONVERSATION, output_name(TASK, command.step, command.item))
        return saved.value if saved else None

    def results(self) -> list[StepResult]:
        return [StepResult.of(message) for message in self.bus.on("results")]


def message(command: RunStep) -> Message:
    return command.to_message(source="orchestrator", trail=Trail(correlation_id="k", traceparent=TRACE))


@pytest.fixture
async def bench() -> Bench:
    bench = Bench()
    await bench.input()
    return bench


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.005)
