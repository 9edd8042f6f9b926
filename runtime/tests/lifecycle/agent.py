"""An agent for the tests of processes: `agent.py PORT METRICS_PORT`."""

from __future__ import annotations

import asyncio
import os
import sys

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agentstack_runtime.contract import load
from agentstack_runtime.lifecycle import Process
from agentstack_runtime.telemetry import configure_logging


async def slow(_: Request) -> Response:
    await asyncio.sleep(2)
    return JSONResponse({"slow": "but there"})


async def work() -> None:
    await asyncio.sleep(float(os.environ.get("CRASH_AFTER", "3600")))
    raise RuntimeError("the work is broken")


async def hand_back(seconds: float) -> None:
    await asyncio.sleep(float(os.environ.get("SHUTDOWN_TAKES", "0.1")))
    print(f"handed back with {seconds:.0f} s left", flush=True)


if __name__ == "__main__":
    variables = {"AGENT_NAME": "tested", "PORT": sys.argv[1], "METRICS_PORT": sys.argv[2], "LONGEST_TASK_SECONDS": "3"}
    configure_logging("tested")
    process = Process(load(variables), app=Starlette(routes=[Route("/slow", slow)]))
    process.task("work", work)
    process.on_shutdown(hand_back)
    process.main()
