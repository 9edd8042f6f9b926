"""Steps that another agent does: the SDK's client against this repository's own A2A server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from agentstack_runtime.lifecycle.edge import Edge
from agentstack_runtime.state.memory import MemoryState
from agentstack_services.domain.messages import RunStep, StepResult, TaskFinished, Trail, payload_of
from agentstack_services.executor.inputs import Inputs
from agentstack_services.executor.service import Executor
from agentstack_services.executor.steps import StepFailed, Work, agent
from agentstack_services.executor.steps.agent import AgentStep
from agentstack_services.ingestion.app import application
from agentstack_services.ingestion.handler import Ingestion
from agentstack_services.orchestrator.service import Orchestrator
from agentstack_services.state_manager.service import StateManager
from agentstack_services.workflows.catalogue import Catalogue
from agentstack_services.workflows.model import AgentCall, CodeCall
from tests.doubles import Published

from .conftest import TRACE, Acting, until

CALL = AgentCall(name="helper", message="Do ${input}", workflow="help")
WORKFLOW = {
    "name": "help",
    "timeout": 60,
    "steps": {"do": {"code": {"function": "f", "arguments": {"text": "${input}"}}, "retries": {"max": 0}}},
    "output": "do",
}


async def ready() -> dict[str, str]:
    return {}


class Helper:
    """An agent of ours: all five services in one loop, with a step that the test decides."""

    def __init__(self, directory: Path) -> None:
        (directory / "help.json").write_text(json.dumps(WORKFLOW))
        self.state, self.log, self.kind, self.url = MemoryState(), Published(), Acting(), ""
        catalogue = Catalogue(directory)
        self.ingestion = Ingestion(self.state, self.log, catalogue)
        app = application(self.ingestion, catalogue, name="helper", version="1", queue_bound=64)
        self.app = Edge(app, ready)  # As in a process: ids and traces go on.
        self.handlers = {
            "events": [
                Orchestrator(self.state, self.log).handle,
                StateManager(self.state, self.log).handle,
            ],
            "tasks": [
                Executor(
                    self.state, self.log, {CodeCall: self.kind}, inputs=Inputs(self.state, patience=1), look=0.05
                ).handle
            ],
        }
        self.handlers["results"] = self.handlers["events"][:1]
        self.headers: list[httpx.Headers] = []

    async def work(self) -> None:
        done, running = 0, set()
        while True:
            for topic, message in self.log.messages[done:]:
                done += 1
                for handle in self.handlers.get(topic, ()):
                    if topic == "tasks":
                        running.add(asyncio.ensure_future(handle(message)))
                    else:
                        await handle(message)
            await asyncio.sleep(0.01)

    def ends(self) -> list[str]:
        return [event.state for event in map(payload_of, self.log.on("events")) if isinstance(event, TaskFinished)]

    def tasks(self) -> set[str]:
        return {message.subject for message in self.log.on("events")}


@pytest.fixture
async def helper(tmp_path: Path) -> AsyncIterator[Helper]:
    helper = Helper(tmp_path)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        helper.headers.append(httpx.Headers(scope["headers"]))
        await helper.app(scope, receive, send)

    config = uvicorn.Config(app, port=0, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    serving, working = asyncio.ensure_future(server.serve()), asyncio.ensure_future(helper.work())
    while not server.started:
        await asyncio.sleep(0.01)
    helper.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield helper
    server.should_exit = True
    await helper.ingestion.stop(0)
    working.cancel()
    await asyncio.gather(serving, working, return_exceptions=True)


@pytest.fixture
async def step(helper: Helper) -> AsyncIterator[AgentStep]:
    step = AgentStep({"helper": helper.url})
    yield step
    await step.close(1)


def work(**fields: Any) -> Work:
    return Work("c1.task/ask/0", {"input": "this"}, TRACE, **fields)


async def test_an_agent_is_asked_and_its_answer_waited_for(helper: Helper, step: AgentStep) -> None:
    async def act(work: Work) -> str:
        await asyncio.sleep(0.1)
        return f"did: {work.values['input']}"

    helper.kind.act = act
    assert await step.run(CALL, work()) == "did: Do this"
    assert {headers.get("traceparent") for headers in helper.headers[1:]} == {TRACE}  # The card is read before.


async def test_the_same_command_is_the_same_task(helper: Helper, step: AgentStep) -> None:
    answers = await asyncio.gather(*(step.run(CALL, work()) for _ in range(3)), step.run(CALL, work()))
    assert answers == ["done"] * 4
    assert await step.run(CALL, work()) == "done"
    assert len(helper.tasks()) == 1
    assert len(helper.kind.works) == 1


async def test_after_a_failure_the_next_attempt_is_another_task(helper: Helper, step: AgentStep) -> None:
    async def act(work: Work) -> str:
        if len(helper.kind.works) == 1:
            raise StepFailed("hunter2", retryable=False)
        return "done"

    helper.kind.act, one = act, work()
    with pytest.raises(StepFailed, match=r"^agent helper: its task \S+ failed$") as failed:
        await step.run(CALL, one)
    assert failed.value.retryable
    assert await step.run(CALL, one) == "done"
    assert helper.ends() == ["failed", "completed"]


async def test_the_agents_task_is_cancelled_only_when_nobody_wants_it(helper: Helper, step: AgentStep) -> None:
    async def hang(work: Work) -> None:
        await asyncio.Event().wait()

    helper.kind.act, one = hang, work()
    asking = asyncio.ensure_future(step.run(CALL, one))
    await until(lambda: bool(helper.kind.works) and one.undo is not None)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await asyncio.sleep(0.1)
    assert helper.ends() == []
    assert one.undo is not None
    await one.undo()
    await until(lambda: helper.ends() == ["canceled"])
    with pytest.raises(StepFailed, match="ended as canceled") as failed:
        await step.run(CALL, one)
    assert not failed.value.retryable


async def test_a_stream_that_breaks_does_not_break_the_task(
    helper: Helper, step: AgentStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "LOOK", 0.05)
    gate = asyncio.Event()

    async def act(work: Work) -> str:
        await gate.wait()
        return "done"

    helper.kind.act, one = act, work()
    asking = asyncio.ensure_future(step.run(CALL, one))
    await until(lambda: one.undo is not None)
    await helper.ingestion.stop(0)  # As a pod that is rolled: it ends its streams.
    await asyncio.sleep(0.2)
    assert not asking.done()
    gate.set()
    assert await asyncio.wait_for(asking, 10) == "done"


async def test_an_agent_that_refuses_the_message_is_not_asked_again(helper: Helper, step: AgentStep) -> None:
    with pytest.raises(StepFailed) as failed:
        await step.run(CALL.model_copy(update={"workflow": "none"}), work())
    assert not failed.value.retryable
    assert str(failed.value) == "agent helper: 400"


async def test_an_agent_that_the_stack_does_not_know() -> None:
    with pytest.raises(StepFailed, match=r"say `calls: \[helper\]`") as failed:
        await AgentStep({}).run(CALL, work())
    assert not failed.value.retryable


async def test_an_agent_that_is_away_is_asked_again() -> None:
    step = AgentStep({"helper": "http://127.0.0.1:9"})
    with pytest.raises(StepFailed, match="agent helper: ") as failed:
        await step.run(CALL, work())
    assert failed.value.retryable
    assert "127.0.0.1" not in str(failed.value)


@pytest.mark.parametrize(("status", "retryable"), [(503, True), (429, True), (404, False), (200, True)])
async def test_a_card_that_does_not_come(status: int, retryable: bool) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(status, text="secret"))
    with pytest.raises(StepFailed) as failed:
        await AgentStep({"helper": "http://helper"}, httpx.AsyncClient(transport=transport)).run(CALL, work())
    assert failed.value.retryable is retryable
    assert "secret" not in str(failed.value)


async def test_a_command_and_its_result_go_the_whole_way(helper: Helper, step: AgentStep) -> None:
    """An agent step in our own workflow: executor, agent, and back."""
    with contextlib.suppress(StepFailed):
        await step.run(CALL, work())
    [command] = [RunStep.of(message) for message in helper.log.on("tasks")]
    [result] = [StepResult.of(message) for message in helper.log.on("results")]
    assert (command.id, result.outcome) == (result.id, "completed")
    assert Trail.of(helper.log.on("results")[0]).traceparent == TRACE
