"""The outermost layer: bounds what comes in, answers what no protocol has an answer for, logs what is refused."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Mapping
from typing import Any, Final

from agentstack_runtime.telemetry import bind, get_logger
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentstack_services.domain.messages import Trail
from agentstack_services.problems import Problem, busy

from .card import RPC_PATH
from .exchange import Exchange, begin

BODY_BYTES: Final = 1024 * 1024
"""Bytes of a request's body: a text of 256 KiB fits, however it is escaped."""
BODY_SECONDS: Final = 10.0
"""Seconds in which a body has to come."""
DEPTH: Final = 64
"""Levels of a body's JSON. The SDK's parsers recurse."""
INTERNAL_ERROR: Final = -32603
_MEDIA_TYPES: Final = ("application/json", "application/a2a+json")
_HOST: Final = re.compile(r"([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
_TRACEPARENT: Final = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")

log = get_logger(__name__)


class Edge:
    """Lets at most `bound` requests at a time into `app`; a stream counts until it began."""

    def __init__(
        self, app: ASGIApp, *, bound: int, body_bytes: int = BODY_BYTES, body_seconds: float = BODY_SECONDS
    ) -> None:
        self._app, self._bound = app, bound
        self._body_bytes, self._body_seconds = body_bytes, body_seconds
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        exchange = Exchange(origin=_origin(scope, headers), trail=_trail(headers))
        begin(exchange)
        with bind(correlation_id=exchange.trail.correlation_id):
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
        too_long = Problem(413, f"the body has more than {self._body_bytes} bytes")
        announced = headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > self._body_bytes:
            return too_long
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > self._body_bytes:
                        return too_long
        except TimeoutError:
            return Problem(408, f"the body did not come within {self._body_seconds:g} seconds")
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if body and media_type not in _MEDIA_TYPES:
            return Problem(415, f"Content-Type must be {' or '.join(_MEDIA_TYPES)}")
        return _unreadable(body) or bytes(body)


class _Answer:
    """Passes the answer of the SDK on, or what stands in for it."""

    def __init__(self, scope: Scope, send: Send, exchange: Exchange, leave: Any) -> None:
        self._scope, self._send, self._exchange, self._leave = scope, send, exchange, leave
        self._is_rpc = scope["path"] == RPC_PATH
        self._status = 0
        self._left = False
        self._replaced = False

    async def refuse(self, reason: str) -> None:
        """Answer 503 instead of asking anybody."""
        self._left = True
        self._exchange.refused = reason
        response: Response = busy(reason)
        if self._is_rpc:
            error = {"code": INTERNAL_ERROR, "message": reason}
            response = JSONResponse({"jsonrpc": "2.0", "id": None, "error": error})
        await response(self._scope, _nothing, self.send)

    def leave(self) -> None:
        """Give the place in the queue free, once."""
        if not self._left:
            self._left = True
            self._leave()

    async def send(self, message: Message) -> None:
        """Pass one message on."""
        if message["type"] == "http.response.start":
            await self._start(message)
        elif not self._replaced:
            if self._status >= 400 or self._is_rpc:
                self._log(message.get("body", b""))
            await self._send(message)

    async def _start(self, message: Message) -> None:
        self._status = message["status"]
        headers = MutableHeaders(raw=message["headers"])
        if headers.get("content-type", "").startswith("text/event-stream"):
            self.leave()
        elif self._exchange.refused is not None and self._is_rpc:
            message["status"] = self._status = 503
            headers["Retry-After"] = str(self._exchange.retry_after)
        elif self._exchange.refused is not None and self._status != 503:
            self._replaced = True
            log.warning("request refused", method=self._scope["method"], status=503, reason=self._exchange.refused)
            problem = busy(self._exchange.refused, retry_after=self._exchange.retry_after)
            await problem(self._scope, _nothing, self._send)
            return
        await self._send(message)

    def _log(self, body: bytes) -> None:
        """Write the one line of a request that was refused: never what the client sent."""
        reason = _reason(body)
        if reason is not None or self._status >= 400:
            log.warning("request refused", method=self._scope["method"], status=self._status, reason=reason)
            self._status, self._is_rpc = 0, False


def _unreadable(body: bytes | bytearray) -> Response | None:
    """Return what to answer to a body over which the SDK would stumble; its own syntax errors are left to it."""
    try:
        value = json.loads(body.decode("utf-8")) if body else None
    except json.JSONDecodeError:
        return None
    except (ValueError, RecursionError):
        return Problem(400, "the body is not JSON that can be read: not UTF-8, nested too deeply, or a number too long")
    return Problem(400, f"the body's JSON has more than {DEPTH} levels") if _deeper(value, DEPTH) else None


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


def _reason(body: bytes) -> str | None:
    """Return the code of an error in any of the three forms; None if `body` has none."""
    if len(body) > 65536 or (b'"error"' not in body and b'"title"' not in body):
        return None
    try:
        content = json.loads(body)
    except ValueError:
        return None
    error = content.get("error") if isinstance(content, Mapping) else None
    if not isinstance(error, Mapping):
        return str(content["title"]) if isinstance(content, Mapping) and "title" in content else None
    details = error.get("details") or error.get("data")
    first = details[0] if isinstance(details, list) and details else {}
    return str(first.get("reason") or error.get("status") or error.get("code"))


def _origin(scope: Scope, headers: Headers) -> str | None:
    host, scheme = headers.get("host", ""), headers.get("x-forwarded-proto", scope.get("scheme", "http"))
    return f"{scheme}://{host}" if _HOST.fullmatch(host) and scheme in ("http", "https") else None


def _trail(headers: Headers) -> Trail:
    request_id, traceparent = headers.get("x-request-id", ""), headers.get("traceparent", "")
    return Trail(
        correlation_id=request_id if _REQUEST_ID.fullmatch(request_id) else str(uuid.uuid4()),
        traceparent=traceparent if _TRACEPARENT.fullmatch(traceparent) else "",
    )


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
