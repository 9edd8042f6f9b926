"""An agent for the tests of processes: `agent.py PORT METRICS_PORT`. Variables make it misbehave, and shorten times."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agentstack_runtime.contract import load
from agentstack_runtime.lifecycle import Process, edge, process, server
from agentstack_runtime.telemetry import configure_logging, current_traceparent

given = os.environ.get


async def slow(_: Request) -> Response:
    await asyncio.sleep(float(given("SLOW", "2")))
    return JSONResponse({"slow": "but there"})


async def echo(request: Request) -> Response:
    return JSONResponse({"bytes": len(await request.body()), "trace": current_traceparent()})


async def work() -> None:
    await asyncio.sleep(float(given("CRASH_AFTER", "3600")))
    raise asyncio.CancelledError if given("CRASH_BY") == "cancelling" else RuntimeError("the work is broken")


async def clinging() -> None:
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            print("no", flush=True)


async def hand_back(seconds: float) -> None:
    await asyncio.sleep(float(given("SHUTDOWN_TAKES", "0.1")))
    print(f"handed back with {seconds:.0f} s left", flush=True)


if __name__ == "__main__":
    variables = {"AGENT_NAME": "tested", "PORT": sys.argv[1], "METRICS_PORT": sys.argv[2], "LONGEST_TASK_SECONDS": "3"}
    server.HEAD_SECONDS = float(given("HEAD_SECONDS", "10"))  # type: ignore[misc]
    server.CONNECTIONS = int(given("CONNECTIONS", "4000"))  # type: ignore[misc]
    edge.Edge.__init__.__kwdefaults__["body_seconds"] = float(given("BODY_SECONDS", "30"))
    process._LAST_REQUESTS = float(given("LAST_REQUESTS", "5"))  # type: ignore[misc]
    configure_logging("tested")
    routes = [Route("/slow", slow), Route("/echo", echo, methods=["POST"])]
    tested = Process(load(variables), app=Starlette(routes=routes))
    tested.task("work", work)
    if given("CLINGING"):
        tested.task("clinging", clinging)
        threading.Thread(target=time.sleep, args=(3600,)).start()
    tested.on_shutdown(hand_back)
    tested.main()
