"""The outermost layer: bounds what comes in, answers what no protocol has an answer for, logs what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from a2a.utils.constants import VERSION_HEADER
from starlette.applications import Starlette
from starlette.datastructures import Headers, QueryParams
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from agentstack_runtime.lifecycle import discard, problem
from agentstack_runtime.telemetry import current_traceparent, get_logger
from agentstack_services.domain.messages import Trail
from agentstack_services.problems import busy

from .card import RPC_PATH
from .exchange import Exchange, begin

BODY_BYTES: Final = 1024 * 1024
"""Bytes of a request's body: a text of 256 KiB fits, however it is escaped."""
DEPTH: Final = 64
"""Levels of a body's JSON. The SDK's parsers recurse."""
ERROR_BYTES: Final = 64 * 1024
"""Bytes of an error's answer at most."""
INTERNAL_ERROR: Final = -32603
_MEDIA_TYPES: Final = ("application/json", "application/a2a+json")
_HOST: Final = re.compile(r"([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")

log = get_logger(__name__)


class Edge:
    """Lets at most `bound` requests at a time into `app`; a stream counts until it began.

    The process around it bounds the time of a body, and gives each request an id and its place in a trace.
    """

    def __init__(self, app: Starlette, *, bound: int, body_bytes: int = BODY_BYTES) -> None:
        self.routes = app.routes
        """Where the process finds what to call a request in the metrics."""
        self._app, self._bound, self._body_bytes = app, bound, body_bytes
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = _versioned(scope)
        headers = Headers(scope=scope)
        trail = Trail(correlation_id=headers.get("x-request-id", ""), traceparent=current_traceparent() or "")
        exchange = Exchange(origin=_origin(scope, headers), trail=trail)
        begin(exchange)
        answer = _Answer(scope, send, exchange, self._leave)
        if self._inside >= self._bound:
            await answer.refuse("this pod is busy")
            return
        body = b""
        if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            read = await self._body(headers, receive)
            if read is None:
                return  # The client went away.
            if isinstance(read, Response):
                await read(scope, receive, answer.send)
                return
            body = read
        self._inside += 1
        try:
            await self._app(scope, _again(body, receive), answer.send)
        finally:
            answer.leave()

    def _leave(self) -> None:
        self._inside -= 1

    async def _body(self, headers: Headers, receive: Receive) -> bytes | Response | None:
        """Return the body; or what to answer instead; or None where the client went away."""
        too_long = problem(413, f"the body has more than {self._body_bytes} bytes", headers={"Connection": "close"})
        announced = headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > self._body_bytes:
            await discard(receive)
            return too_long
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._body_bytes:
                if more:
                    await discard(receive)
                return too_long
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if body and media_type not in _MEDIA_TYPES:
            return problem(415, f"Content-Type must be {' or '.join(_MEDIA_TYPES)}")
        return _unreadable(body) or bytes(body)


class _Answer:
    """Passes the answer of the SDK on, or what stands in for it."""

    def __init__(self, scope: Scope, send: Send, exchange: Exchange, leave: Callable[[], None]) -> None:
        self._scope, self._send, self._exchange, self._leave = scope, send, exchange, leave
        self._is_rpc = scope["path"] == RPC_PATH
        self._start: Message | None = None
        self._left = False
        self._replaced = False

    async def refuse(self, reason: str) -> None:
        """Answer 503 without asking anybody."""
        self._left = True
        self._exchange.refused = reason
        await Response()(self._scope, _nothing, self.send)  # Of which nothing is sent.

    def leave(self) -> None:
        """Give the place in the queue free, once."""
        if not self._left:
            self._left = True
            self._leave()

    async def send(self, message: Message) -> None:
        """Pass one message on. The start waits for the body, which tells how JSON-RPC's answers went."""
        if message["type"] == "http.response.start":
            if Headers(raw=message["headers"]).get("content-type", "").startswith("text/event-stream"):
                self.leave()
                await self._send(message)
            else:
                self._start = message
        elif self._start is not None:
            start, self._start = self._start, None
            await self._first(start, message)
        elif not self._replaced:
            await self._send(message)

    async def _first(self, start: Message, message: Message) -> None:
        status, refused = start["status"], self._exchange.refused
        failed = status >= 400 or refused is not None
        answer = _json(message.get("body", b"")) if failed or self._is_rpc else {}
        instead = self._instead(answer)
        if failed or "error" in answer:
            # The one line of a request that is refused: never what the client sent.
            status = instead.status_code if instead else status
            reason = refused or _reason(answer)
            log.warning("request refused", method=self._scope["method"], status=status, reason=reason)
        if instead is not None:
            self._replaced = True
            await instead(self._scope, _nothing, self._send)
            return
        await self._send(start)
        await self._send(message)

    def _instead(self, answer: Mapping[str, Any]) -> Response | None:
        refused, retry_after = self._exchange.refused, self._exchange.retry_after
        if refused is not None and not self._is_rpc:
            return busy(refused, retry_after=retry_after)
        error = answer.get("error")
        if refused is not None:
            headers = {"Retry-After": str(retry_after)}
            return JSONResponse(_rpc_error(answer.get("id"), refused), status_code=503, headers=headers)
        if self._is_rpc and isinstance(error, Mapping) and error.get("code") == INTERNAL_ERROR:
            # The SDK would send the text of our exception.
            return JSONResponse(_rpc_error(answer.get("id"), "internal error"))
        return None


def _unreadable(body: bytes | bytearray) -> Response | None:
    """Return what to answer to a body over which the SDK would stumble; its own syntax errors are left to it."""
    try:
        value = json.loads(body.decode("utf-8")) if body else None
    except json.JSONDecodeError:
        return None
    except (ValueError, RecursionError):
        return problem(400, "the body is not JSON that can be read: not UTF-8, nested too deeply, or a number too long")
    return problem(400, f"the body's JSON has more than {DEPTH} levels") if _deeper(value, DEPTH) else None


def _deeper(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit + 1):
        level = [
            part
            for whole in level
            if isinstance(whole, dict | list)
            for part in (whole.values() if isinstance(whole, dict) else whole)
        ]
    return bool(level)


def _json(body: bytes) -> Mapping[str, Any]:
    """Return an answer that may be an error; nothing of one that is too long to be one."""
    if len(body) > ERROR_BYTES:
        return {}
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, Mapping) else {}


def _reason(answer: Mapping[str, Any]) -> str | None:
    """Return the code of an error in any of the three forms."""
    error = answer.get("error")
    if not isinstance(error, Mapping):
        return answer.get("title")
    details = error.get("details") or error.get("data")
    first = details[0] if isinstance(details, list) and details else {}
    return str(first.get("reason") or error.get("status") or error.get("code"))


def _rpc_error(request_id: Any, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "error": {"code": INTERNAL_ERROR, "message": message}}


def _versioned(scope: Scope) -> Scope:
    """Return `scope` with a version that is in the query as a header, where the SDK looks for it (A2A, 3.6.1)."""
    version = QueryParams(scope["query_string"]).get(VERSION_HEADER, "")
    if not version or not version.isascii() or VERSION_HEADER in Headers(scope=scope):
        return scope
    return {**scope, "headers": [*scope["headers"], (VERSION_HEADER.lower().encode(), version.encode())]}


def _origin(scope: Scope, headers: Headers) -> str | None:
    host, scheme = headers.get("host", ""), headers.get("x-forwarded-proto", scope.get("scheme", "http"))
    return f"{scheme}://{host}" if _HOST.fullmatch(host) and scheme in ("http", "https") else None


def _again(body: bytes, receive: Receive) -> Receive:
    """Return what gives `body` once, and after it what is left: that the client went away."""
    given = False

    async def give() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return give


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
