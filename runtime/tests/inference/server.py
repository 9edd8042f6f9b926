"""A server on a real port that speaks OpenAI's chat completions, and fails as it is told."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "total_tokens": 18,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 3},
}


@dataclass
class Server:
    url: str
    replies: list[Callable[[Server, Request], Awaitable[Response]]] = field(default_factory=list)
    """What the next requests get; the last of them for all that follow."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    working: int = 0
    most: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """A client went away before it had the answer."""
    release: asyncio.Event = field(default_factory=asyncio.Event)
    """Ends the waiting of `hangs`."""

    async def answer(self, request: Request) -> Response:
        self.bodies.append(await request.json())
        self.keys.append(request.headers.get("authorization") or request.headers.get("api-key"))
        self.paths.append(str(request.url).removeprefix(self.url))
        self.working += 1
        self.most = max(self.most, self.working)
        try:
            return await (self.replies.pop(0) if len(self.replies) > 1 else self.replies[0])(self, request)
        finally:
            self.working -= 1


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = Server(f"http://127.0.0.1:{listener.getsockname()[1]}")
        app = Starlette(routes=[Route("/{path:path}", found.answer, methods=["POST"])])
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
        running = asyncio.create_task(server.serve([listener]))
        while not server.started:
            await asyncio.sleep(0.005)
        try:
            yield found
        finally:
            found.release.set()
            server.should_exit = True
            await running


def says(text: str | None, *, reason: str = "stop", usage: Any = USAGE, refusal: str | None = None) -> Any:
    message = {"role": "assistant", "content": text, "refusal": refusal}
    found = {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "served-model",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
    }
    return body(found | ({"usage": usage} if usage else {}))


def body(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Any:
    async def reply(server: Server, request: Request) -> Response:
        return JSONResponse(content, status, headers)

    return reply


def fails(status: int, headers: dict[str, str] | None = None, code: str | None = None, message: str = "no") -> Any:
    return body({"error": {"message": message, "code": code, "type": None}}, status, headers)


def text(content: str, media_type: str) -> Any:
    async def reply(server: Server, request: Request) -> Response:
        return Response(content, media_type=media_type)

    return reply


async def hangs(server: Server, request: Request) -> Response:
    """Answer when released; notice a client that goes away."""
    gone = asyncio.create_task(_gone(request))
    released = asyncio.create_task(server.release.wait())
    await asyncio.wait({gone, released}, return_when=asyncio.FIRST_COMPLETED)
    released.cancel()
    gone.cancel()
    if gone.done() and not gone.cancelled():
        server.left.set()
    return await says("at last")(server, request)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def streams(*pieces: str, pause: float = 0.0, usage: Any = USAGE, end: str = "whole", refusal: bool = False) -> Any:
    """Stream `pieces`, and end `whole`, `cut` (connection lost), `early` (no finish_reason) or with an `error`."""

    async def reply(server: Server, request: Request) -> Response:
        async def events() -> AsyncIterator[str]:
            try:
                for piece in pieces:
                    yield _event({"refusal" if refusal else "content": piece}, None)
                    await asyncio.sleep(pause)
                if end == "cut":
                    raise ConnectionError("on purpose")
                if end == "error":
                    yield 'data: {"error": {"message": "quotes the prompt", "code": "server_error"}}\n\n'
                if end == "whole":
                    yield _event({}, "stop")
                    if usage:
                        yield _event(None, None, usage=usage)
                    yield "data: [DONE]\n\n"
            except asyncio.CancelledError:
                server.left.set()
                raise

        return StreamingResponse(events(), media_type="text/event-stream")

    return reply


def _event(delta: dict[str, str] | None, reason: str | None, **more: Any) -> str:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": reason}]
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "served-model", "choices": choices}
    return f"data: {json.dumps(chunk | more)}\n\n"
