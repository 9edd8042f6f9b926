"""The edge around an application, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from agentstack_runtime.contract import Contract
from agentstack_runtime.lifecycle import PROBLEM_JSON, Process
from agentstack_runtime.lifecycle.edge import Edge
from agentstack_runtime.telemetry import current_traceparent

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def echo(request: Request) -> Response:
    return JSONResponse(
        {
            "bytes": len(await request.body()),
            "id": request.headers["x-request-id"],
            "trace": current_traceparent(),
        }
    )


async def broken(_: Request) -> Response:
    raise RuntimeError("hunter2")


APP = Starlette(
    routes=[
        Route("/echo/{name}", echo, methods=["POST"]),
        Route("/broken", broken),
        Mount("/below", routes=[Route("/{name}:cancel", echo, methods=["POST"])]),
    ]
)


async def all_well() -> dict[str, str]:
    return {}


def client(app: Any = APP, **bounds: Any) -> httpx.AsyncClient:
    edge = Edge(app, all_well, **bounds)
    return httpx.AsyncClient(transport=httpx.ASGITransport(edge), base_url="http://agent")


def requests_of(route: str, status: str, method: str = "POST") -> float:
    labels = {"method": method, "route": route, "status": status}
    return REGISTRY.get_sample_value("http_requests_total", labels) or 0.0


async def test_ids_and_traces_go_on() -> None:
    async with client() as agent:
        answer = await agent.post("/echo/a", headers={"X-Request-ID": "abc-1", "traceparent": TRACE})
        assert answer.json() == {"bytes": 0, "id": "abc-1", "trace": TRACE}
        assert answer.headers["x-request-id"] == "abc-1"
        invented = await agent.post("/echo/a", headers={"X-Request-ID": "a\tb" * 80})
        assert invented.json()["id"] == invented.headers["x-request-id"]
        assert len(invented.headers["x-request-id"]) == 36


async def test_routes_are_counted_by_their_templates() -> None:
    before = requests_of("/echo/{name}", "200"), requests_of("/below/{name}:cancel", "200")
    unmatched = requests_of("unmatched", "404", "GET")
    async with client() as agent:
        for number in range(3):
            await agent.post(f"/echo/{number}")
            await agent.post(f"/below/{number}:cancel")
            await agent.get(f"/random/{number}")
    assert requests_of("/echo/{name}", "200") == before[0] + 3
    assert requests_of("/below/{name}:cancel", "200") == before[1] + 3
    assert requests_of("unmatched", "404", "GET") == unmatched + 3


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_body_that_is_too_large(chunked: bool) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 10

    async with client(body_bytes=100) as agent:
        answer = await agent.post("/echo/a", content=parts() if chunked else b"x" * 200)
        assert (answer.status_code, answer.headers["content-type"]) == (413, PROBLEM_JSON)
        assert answer.json()["detail"] == "the body has more than 100 bytes"
        assert (await agent.post("/echo/a", content=b"x" * 100)).json()["bytes"] == 100


async def test_a_body_that_never_comes() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(5)

    async with client(body_seconds=0.1) as agent:
        answer = await agent.post("/echo/a", content=parts())
    assert (answer.status_code, answer.headers["content-type"]) == (408, PROBLEM_JSON)


async def test_an_exception_is_500_and_gives_nothing_away() -> None:
    async def plain(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("hunter2")

    async with client() as agent, client(plain) as other:
        for answer in (await agent.get("/broken"), await other.get("/x")):
            assert answer.status_code == 500
            assert "hunter2" not in answer.text


async def test_without_an_application_only_probes_are_answered() -> None:
    async with client(None) as agent:
        assert (await agent.get("/health")).status_code == 200
        assert (await agent.get("/anything")).status_code == 404


async def test_readiness_names_every_reason() -> None:
    process = Process(Contract(agent_name="a", pod_name="a-0"))
    asked = 0

    async def well() -> str | None:
        nonlocal asked
        asked += 1
        return None

    async def down() -> str | None:
        return "does not answer"

    async def hangs() -> str | None:
        await asyncio.sleep(60)
        return None

    async def broken() -> str | None:
        raise ValueError("hunter2")

    for name, probe in (("well", well), ("redis", down), ("kafka", hangs), ("model", broken)):
        process.check(name, probe)
    reasons = await process.ready()
    assert reasons == {"redis": "does not answer", "kafka": "does not answer within 1.5 s", "model": "ValueError"}
    await process.ready()
    assert asked == 1, "many probes in one second ask once"
