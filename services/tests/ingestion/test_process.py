"""The process: what it needs, what it tells, and how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket

import httpx
import pytest

from agentstack_runtime.contract import Contract, ContractError
from agentstack_services.assembly import Service
from agentstack_services.ingestion.main import build

from .conftest import WORKFLOWS, connected, request
from .test_client import texts


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def contract(world, **changes) -> Contract:
    port = free_port()
    fields = {"port": port, "metrics_port": port, "workflows_dir": world.directory, **changes}
    return Contract(agent_name="ingestion", pod_name="ingestion-0", **fields)


async def started(url: str) -> None:
    async with httpx.AsyncClient() as client:
        for _ in range(200):
            try:
                await client.get(f"{url}/health")
                return
            except httpx.ConnectError:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("apart", [False, True])
async def test_it_ends_its_streams_at_sigterm_and_exits_with_0(world, monkeypatch, apart):
    monkeypatch.setenv("DEFAULT_WORKFLOW", "echo")
    world.executor.hold("say")
    given = contract(world, **({"metrics_port": free_port()} if apart else {}))
    process = build(given, Service(given, world.state, world.bus))
    url = f"http://127.0.0.1:{given.port}"
    async with world.working():
        running = asyncio.ensure_future(process.run())
        await started(url)
        async with connected(url, "HTTP+JSON") as client, httpx.AsyncClient() as http:
            stream = client.send_message(request())
            while texts([await anext(stream)]) != ["step say began"]:
                pass
            assert (await http.get(f"{url}/ready")).json()["ready"]
            assert (await http.get(f"{url}/nothing")).headers["content-type"] == "application/problem+json"
            metrics = (await http.get(f"http://127.0.0.1:{given.metrics_port}/metrics")).text
            os.kill(os.getpid(), signal.SIGTERM)
            # It is cut cleanly: the client raises nothing.
            assert [event async for event in stream] == []
        assert await asyncio.wait_for(running, 5) == 0
    assert 'route="/nothing"' not in metrics
    assert "http_requests_total" in metrics


async def test_it_is_not_ready_while_kafka_or_redis_is_down(world, monkeypatch):
    monkeypatch.setenv("DEFAULT_WORKFLOW", "echo")
    given = contract(world)
    process = build(given, Service(given, world.state, world.bus))
    assert await process.ready() == {}
    world.bus.down = True
    process = build(given, Service(given, world.state, world.bus))
    assert list(await process.ready()) == ["kafka"]


def test_what_is_missing_is_said(world, monkeypatch, tmp_path):
    monkeypatch.setenv("PUBLIC_URL", "no-url")
    with pytest.raises(ContractError, match=r"^PUBLIC_URL: "):
        build(contract(world))
    monkeypatch.delenv("PUBLIC_URL")
    with pytest.raises(ContractError, match=r"^WORKFLOWS_DIR: missing"):
        build(contract(world, workflows_dir=None))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ContractError, match=r"^WORKFLOWS_DIR: no workflows"):
        build(contract(world, workflows_dir=tmp_path / "empty"))
    with pytest.raises(ContractError) as raised:
        build(contract(world))
    assert [problem.partition(":")[0] for problem in raised.value.problems] == ["REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS"]


def test_a_default_that_is_no_workflow_is_said(world, monkeypatch):
    monkeypatch.setenv("DEFAULT_WORKFLOW", "nothing")
    assert "nothing" not in WORKFLOWS
    with pytest.raises(ContractError, match=r"^DEFAULT_WORKFLOW: there is no workflow nothing; known are: echo"):
        build(contract(world))
