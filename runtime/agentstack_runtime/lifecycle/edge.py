"""What stands around an agent's own application: probes, bounds, ids, metrics."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match, Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentstack_runtime.telemetry import bind, continue_trace, get_logger
from agentstack_runtime.telemetry.metrics import HTTP_DURATION, HTTP_REQUESTS, WORK_IN_FLIGHT

from .problem import discard, problem

BODY_BYTES: Final = 4 * 1024 * 1024
"""Bytes of a request's body at most."""
BODY_SECONDS: Final = 30.0
"""Seconds in which a body has to come."""
REQUEST_ID: Final = "x-request-id"
"""The header that gateways use for it, Envoy among them."""
_WELL_FORMED: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
UNMATCHED: Final = "unmatched"
"""The route of requests that no route answers: their paths are clients' inventions."""

Readiness = Callable[[], Awaitable[dict[str, str]]]
"""Returns what is not ready, by name, and why."""

log = get_logger(__name__)


class Edge:
    """Answers `/health` and `/ready`, and lets the rest through to `app`, or to nothing without one.

    Bodies are bounded in bytes (413) and in time (408). A request id that is missing or malformed is replaced; the
    answer carries it, and every log line of the request has it as `correlation_id`. A trace goes on. An exception
    that the application lets out becomes one line in the log and 500.
    """

    def __init__(
        self,
        app: ASGIApp | None,
        ready: Readiness,
        *,
        body_bytes: int = BODY_BYTES,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._app, self._ready = app, ready
        self._routes: Sequence[BaseRoute] = getattr(app, "routes", ())
        self._body_bytes, self._body_seconds = body_bytes, body_seconds
        self._serving = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.ending = False
        """Whether answers ask the client to come back on another connection, which another pod may have."""

    async def drain(self, seconds: float) -> int:
        """Wait until no request is under way, or the time is over; return how many still are."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return self._serving
        return 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        if scope["path"] == "/health":
            await JSONResponse({"healthy": True})(scope, receive, send)
        elif scope["path"] == "/ready":
            await (await self._readiness())(scope, receive, send)
        else:
            self._serving += 1
            self._idle.clear()
            try:
                await self._serve(scope, receive, send)
            finally:
                self._serving -= 1
                if self._serving == 0:
                    self._idle.set()

    async def _readiness(self) -> Response:
        reasons = await self._ready()
        return JSONResponse({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = _request_id(scope)
        bounded = _Bounded(receive, self._body_bytes, self._body_seconds)
        answer = _Answer(scope, send, request_id, bounded, self)
        route, start = self._route(scope), time.perf_counter()
        traceparent = Headers(scope=scope).get("traceparent")
        working = WORK_IN_FLIGHT.labels("http").track_inprogress()
        with working, continue_trace(traceparent), bind(correlation_id=request_id):
            await self._ask(scope, bounded, answer)
        # 499, as nginx has it: the client went away before there was an answer.
        HTTP_REQUESTS.labels(scope["method"], route, str(answer.status or 499)).inc()
        HTTP_DURATION.labels(scope["method"], route).observe(time.perf_counter() - start)

    async def _ask(self, scope: Scope, receive: _Bounded, answer: _Answer) -> None:
        try:
            if self._app is None:
                await problem(404, "this agent answers probes only")(scope, receive, answer)
                return
            await self._app(scope, receive, answer)
        except Exception as error:
            if receive.refused is None:
                log.exception("request failed", error=type(error).__name__)
            if answer.status == 0:
                failed = problem(500, "the agent could not handle the request; its log says why")
                await (receive.refused or failed)(scope, receive, answer)

    def _route(self, scope: Scope) -> str:
        """Return the template of the route that will answer: the path itself has as many values as clients like."""
        if scope["method"] not in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            scope["method"] = "OTHER"
        return _template(self._routes, scope) or UNMATCHED


def _template(routes: Sequence[BaseRoute], scope: Scope) -> str | None:
    for route in routes:
        match, child = route.matches(scope)
        if match is Match.NONE:
            continue
        if isinstance(route, Mount):
            below = _template(route.routes, {**scope, **child})
            return f"{route.path}{below}" if below is not None else route.path or None
        return str(getattr(route, "path", UNMATCHED))
    return None


class _Refused(HTTPException):
    """The body broke a bound. Of a kind that frameworks let pass without a traceback."""


class _Bounded:
    """`receive`, with a bound on the bytes of the body and on the time that it takes."""

    def __init__(self, receive: Receive, bytes_: int, seconds: float) -> None:
        self._receive, self._left, self._bytes = receive, bytes_, bytes_
        self._seconds, self._end = seconds, time.monotonic() + seconds
        self._whole = False
        self.refused: Response | None = None

    async def __call__(self) -> Message:
        """Return the next part of the body.

        Raises:
            _Refused: it is too large, or too late.
        """
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout(max(0.0, self._end - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            self.refused = problem(408, f"the body did not come within {self._seconds:g} seconds", headers=_CLOSE)
            raise _Refused(408) from None
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
            if self._left < 0:
                self.refused = problem(413, f"the body has more than {self._bytes} bytes", headers=_CLOSE)
                if not self._whole:
                    await discard(self._receive)
                raise _Refused(413)
        return message


_CLOSE: Final = {"Connection": "close"}


class _Answer:
    """`send`, which knows the status, adds the request's id, and answers for the bounds of the body."""

    def __init__(self, scope: Scope, send: Send, request_id: str, bounded: _Bounded, edge: Edge) -> None:
        self._scope, self._send, self._request_id, self._bounded = scope, send, request_id, bounded
        self._edge = edge
        self._replaced = False
        self.status = 0

    async def __call__(self, message: Message) -> None:
        """Pass one message on."""
        if self._replaced:
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {"headers": [], **message}
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID] = self._request_id
            if self._edge.ending:
                headers.update(_CLOSE)
            refused = self._bounded.refused
            if refused is not None:  # Whatever a framework makes of it.
                self.status = refused.status_code
                refused.headers[REQUEST_ID] = self._request_id
                self._replaced = True
                await refused(self._scope, self._bounded, self._send)
                return
        await self._send(message)


def _request_id(scope: Scope) -> str:
    """Return the request's id, and see to it that the application finds the same in the header."""
    headers = MutableHeaders(scope=scope)
    given: Any = headers.get(REQUEST_ID)
    if given is None or not _WELL_FORMED.fullmatch(given):
        headers[REQUEST_ID] = given = str(uuid.uuid4())
    return str(given)
