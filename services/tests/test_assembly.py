"""What the mains share: a consumer by the contract, and a process that drains it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from pathlib import Path

import pytest
import structlog
from prometheus_client import REGISTRY

from agentstack_runtime.bus import Message
from agentstack_runtime.bus.memory import MemoryBus
from agentstack_runtime.contract import Contract, ContractError, Kafka
from agentstack_runtime.state.memory import MemoryState
from agentstack_runtime.telemetry import current_traceparent
from agentstack_services.assembly import Service
from agentstack_services.domain.ids import task_name, task_of_message
from agentstack_services.domain.messages import TaskSubmitted, Trail
from agentstack_services.orchestrator.main import build as build_orchestrator
from agentstack_services.state_manager.main import build as build_state_manager
from tests.doubles import RESEARCH

TASK = task_of_message("c1", "m1")


def contract(*topics: str, **changes) -> Contract:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kafka = Kafka(bootstrap_servers="kafka:9092", consume_topics=topics, consumer_group="g")
    return Contract(agent_name="a", pod_name="a-0", port=port, metrics_port=port, kafka=kafka, **changes)


def service(*topics: str, **changes) -> Service:
    return Service(contract(*topics, **changes), MemoryState(), MemoryBus())


async def test_a_message_is_handled_in_its_trace_with_its_ids_and_counted():
    seen, done = [], asyncio.Event()
    given = service("tasks")

    async def handle(message: Message) -> None:
        seen.append((structlog.contextvars.get_contextvars(), current_traceparent()))
        done.set()

    before = REGISTRY.get_sample_value("agent_messages_total", {"topic": "tasks", "outcome": "done"}) or 0
    consumer = given.consumer(handle)
    running = asyncio.ensure_future(consumer.run())
    traceparent = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    await given.bus.publish(
        "tasks", Message(type="t", data={}, key="k", subject="s", correlation_id="r-1", traceparent=traceparent)
    )
    await asyncio.wait_for(done.wait(), 5)
    await consumer.drain(5)
    await running
    assert seen == [({"correlation_id": "r-1", "task_id": "s"}, traceparent)]
    after = REGISTRY.get_sample_value("agent_messages_total", {"topic": "tasks", "outcome": "done"})
    assert after == before + 1


async def test_without_topics_there_is_no_consumer():
    async def handle(message: Message) -> None: ...

    with pytest.raises(ContractError, match=r"^KAFKA_CONSUME_TOPICS: empty"):
        service().consumer(handle)


@pytest.mark.parametrize("name", ["orchestrator", "state-manager"])
async def test_a_service_works_until_sigterm(name, tmp_path: Path):
    steps = {"a": {"model": {"prompt": "x"}}}
    (tmp_path / "w.json").write_text(json.dumps({"name": "w", "timeout": 5, "steps": steps, "output": "a"}))
    given = service("events", workflows_dir=tmp_path)
    build = {"orchestrator": build_orchestrator, "state-manager": build_state_manager}[name]
    process = build(given.contract, given)
    event = TaskSubmitted(conversation="c1", task=TASK, definition=RESEARCH, client_message_id="m1", text="hello")
    await given.bus.publish("events", event.to_message(source="ingestion", trail=Trail()))
    running = asyncio.ensure_future(process.run())

    async def worked() -> bool:
        if name == "orchestrator":
            return bool(given.bus.messages("tasks"))
        return await given.state.get("c1", task_name(TASK)) is not None

    async with asyncio.timeout(5):
        while not await worked() or await process.ready():
            await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 5) == 0
    assert sum(given.bus.committed.values()) >= 1
