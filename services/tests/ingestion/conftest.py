"""A whole system in one process: ingestion's replicas, orchestrator, state-manager, and an executor that is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import uvicorn
from a2a.client import ClientConfig, ClientFactory
from a2a.client.client import Client
from a2a.types.a2a_pb2 import Message, Part, Role, SendMessageConfiguration, SendMessageRequest

from agentstack_runtime.bus import Consumer
from agentstack_runtime.bus.memory import MemoryBus
from agentstack_runtime.contract import Retries
from agentstack_runtime.state.memory import MemoryState
from agentstack_services.domain.ids import output_name
from agentstack_services.domain.messages import RunStep, StepResult, Trail
from agentstack_services.ingestion.app import application
from agentstack_services.ingestion.handler import Ingestion
from agentstack_services.orchestrator.service import Orchestrator
from agentstack_services.state_manager.service import StateManager
from agentstack_services.workflows.catalogue import Catalogue

WORKFLOWS = {
    "echo": {
        "name": "echo",
        "description": "Says what it was told.",
        "timeout": 60,
        "steps": {"say": {"model": {"prompt": "${input}"}}},
        "output": "say",
    },
    "research": {
        "name": "research",
        "timeout": 60,
        "steps": {
            "plan": {"model": {"prompt": "${input}"}, "output": "lines"},
            "look": {"model": {"prompt": "${item}"}, "forEach": "plan", "needs": ["plan"]},
            "sum": {"model": {"prompt": "${look}"}, "needs": ["look"]},
        },
        "output": "sum",
    },
    "fan": {
        "name": "fan",
        "timeout": 60,
        "steps": {
            "plan": {"model": {"prompt": "${input}"}, "output": "lines"},
            "look": {"model": {"prompt": "${item}"}, "forEach": "plan", "needs": ["plan"]},
        },
        "output": "look",
    },
}
RETRIES = Retries(backoff=timedelta(milliseconds=10))


class Executor:
    """Answers each step with its name, after its gate was opened."""

    def __init__(self, state: MemoryState, bus: MemoryBus) -> None:
        self.state, self.bus = state, bus
        self.gates: dict[str, asyncio.Event] = {}
        self.failing: dict[str, str] = {}

    def hold(self, step: str) -> asyncio.Event:
        return self.gates.setdefault(step, asyncio.Event())

    async def handle(self, message) -> None:
        command = RunStep.of(message)
        if command.step in self.gates:
            await self.gates[command.step].wait()
        output = ["one", "two"] if command.definition.output == "lines" else f"{command.step} {command.item}"
        reason = self.failing.get(command.step)
        if reason is None:
            name = output_name(command.task, command.step, command.item)
            await self.state.put(command.conversation, name, {"output": output})
        result = StepResult(
            id=command.id,
            conversation=command.conversation,
            task=command.task,
            workflow=command.workflow,
            step=command.step,
            item=command.item,
            outcome="failed" if reason else "completed",
            reason=reason,
            items=len(output) if isinstance(output, list) else None,
            duration_seconds=0.5,
            input_tokens=3,
            output_tokens=2,
        )
        await self.bus.publish("results", result.to_message(source="executor", trail=Trail.of(message)))


class World:
    """What all replicas share."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name, workflow in WORKFLOWS.items():
            (directory / f"{name}.json").write_text(json.dumps(workflow))
        self.state, self.bus, self.catalogue = MemoryState(), MemoryBus(), Catalogue(directory)
        self.executor = Executor(self.state, self.bus)
        self.orchestrator = Orchestrator(self.state, self.bus)
        self.state_manager = StateManager(self.state, self.bus)

    def handler(self, state=None, **options) -> Ingestion:
        return Ingestion(state or self.state, self.bus, self.catalogue, **{"default_workflow": "echo", **options})

    def app(self, handler: Ingestion | None = None, **options):
        options = {"name": "ingestion", "version": "1", "queue_bound": 64, "default_workflow": "echo", **options}
        return application(handler or self.handler(), self.catalogue, **options)

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """The other services run."""
        consumers = [
            self.consumer(["events", "results"], "orchestrator", self.orchestrator.handle),
            self.consumer(["events"], "state-manager", self.state_manager.handle),
            self.consumer(["tasks"], "executor", self.executor.handle),
        ]
        running = [asyncio.ensure_future(consumer.run()) for consumer in consumers]
        try:
            yield
        finally:
            for gate in self.executor.gates.values():
                gate.set()
            for consumer in consumers:
                await consumer.drain(1)
            for one in running:
                one.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def consumer(self, topics, group, handler) -> Consumer:
        return Consumer(
            self.bus,
            topics,
            group,
            handler,
            concurrency=8,
            queue_bound=64,
            retries=RETRIES,
            dead_letter_topic="dead-letters",
        )


@contextlib.asynccontextmanager
async def served(app) -> AsyncIterator[str]:
    """Serve `app` on a port of its own: httpx's ASGI transport gives a stream only when it is over."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="off", log_config=None, timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


@contextlib.asynccontextmanager
async def connected(url: str, binding: str, *, streaming: bool = True) -> AsyncIterator[Client]:
    """The SDK's own client, which reads the card first."""
    async with httpx.AsyncClient(timeout=10) as http:
        config = ClientConfig(
            httpx_client=http, supported_protocol_bindings=[binding], streaming=streaming, use_client_preference=True
        )
        client = await ClientFactory(config).create_from_url(url)
        yield client


def request(text: str = "hello", message_id: str = "m1", **fields) -> SendMessageRequest:
    history = fields.pop("history_length", None)
    workflow = fields.pop("workflow", None)
    message = Message(message_id=message_id, role=Role.ROLE_USER, parts=[Part(text=text)], **fields)
    if workflow:
        message.metadata["workflow"] = workflow
    return SendMessageRequest(message=message, configuration=SendMessageConfiguration(history_length=history))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture(params=["HTTP+JSON", "JSONRPC"])
def binding(request) -> str:
    return request.param
