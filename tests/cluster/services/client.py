"""Runs in a pod outside the stack: sends tasks to ingestion, and is the sink that their side effects reach.

Standard output: one JSON object at the end. Arguments: the URL of ingestion, conversations, tasks of each, seconds over
which they are sent. A message that was not accepted is sent again with the same id, as a client of A2A does.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter, defaultdict
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

HEADERS = {"A2A-Version": "1.0"}
ENDED = {"TASK_STATE_COMPLETED", "TASK_STATE_FAILED", "TASK_STATE_CANCELED", "TASK_STATE_REJECTED"}
PATIENCE = 300
"""Seconds until a task that does not end counts as lost."""

calls: Counter[str] = Counter()
effects: dict[str, list[str]] = defaultdict(list)
"""What happened in each conversation, in the order in which it did: once for each key, as an idempotent API does."""


async def effect(request: Request) -> Response:
    key = request.headers["idempotency-key"]
    calls[key] += 1
    if calls[key] == 1:
        note = json.loads(await request.body())
        effects[note["conversation"]].append(note["task"])
    return JSONResponse({"noted": True})


async def send(client: httpx.AsyncClient, conversation: str, number: int, refused: Counter[str]) -> str:
    note = {"conversation": conversation, "task": f"{conversation}-{number}"}
    message = {
        "messageId": f"{conversation}-{number}",
        "contextId": conversation,
        "role": "ROLE_USER",
        "parts": [{"text": json.dumps(note)}],
        "metadata": {"workflow": "effect"},
    }
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            answer = await client.post("/message:send", json={"message": message}, headers=HEADERS)
        except httpx.HTTPError as error:
            refused[type(error).__name__] += 1
        else:
            if answer.status_code == 200:
                task: str = answer.json()["task"]["id"]
                return task
            refused[str(answer.status_code)] += 1
        await asyncio.sleep(0.3)
    raise TimeoutError(f"{note['task']} was never accepted: {dict(refused)}")


async def outcome(client: httpx.AsyncClient, task: str) -> str:
    end, state = time.monotonic() + PATIENCE, "unknown"
    while time.monotonic() < end:
        try:
            answer = await client.get(f"/tasks/{task}", headers=HEADERS)
            if answer.status_code == 200:
                state = answer.json()["status"]["state"]
                if state in ENDED:
                    return state
        except httpx.HTTPError:
            pass
        await asyncio.sleep(1)
    return f"never ended: {state}"


async def main(url: str, conversations: int, tasks: int, seconds: float) -> dict[str, Any]:
    server = uvicorn.Server(
        uvicorn.Config(Starlette(routes=[Route("/", effect, methods=["POST"])]), "0.0.0.0", 8000, log_level="error")
    )
    serving = asyncio.create_task(server.serve())
    refused: Counter[str] = Counter()
    outcomes: dict[str, str] = {}
    async with httpx.AsyncClient(base_url=url, timeout=10) as client:

        async def converse(name: str) -> None:
            sent = []
            for number in range(tasks):
                sent.append(await send(client, name, number, refused))
                await asyncio.sleep(seconds / tasks)
            for task in sent:
                outcomes[task] = await outcome(client, task)

        await asyncio.gather(*(converse(f"conversation-{number}") for number in range(conversations)))
    server.should_exit = True
    await serving
    order = {name: [f"{name}-{number}" for number in range(tasks)] for name in effects}
    return {
        "accepted": len(outcomes),
        "outcomes": Counter(outcomes.values()),
        "effects": sum(map(len, effects.values())),
        "repeated calls with a known key": sum(calls.values()) - len(calls),
        "out of order": sorted(name for name in effects if effects[name] != order[name]),
        "refused and sent again": refused,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:4]), float(sys.argv[4])))), flush=True)
