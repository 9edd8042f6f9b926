"""uvicorn within bounds, and with its signals left to the process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS: Final = 10.0
"""Seconds in which the head of a request has to come, from the connection or from its first byte on."""
KEEP_ALIVE_SECONDS: Final = 75
"""Seconds that a connection may be idle between requests. Above what clients and gateways keep theirs for (Go's and
Envoy's cluster defaults aside, 60 s is usual), so that they close first and no request meets a closed connection."""
CONNECTIONS: Final = 4_000
"""Open connections of a process: the next is closed at once. Idle ones cost about 10 KiB each."""


class Server(uvicorn.Server):
    """One port. `should_exit = True` ends it: no new connections, those with a request finish it."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host="0.0.0.0",
                port=port,
                http=_Guarded,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                log_level="warning",
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process."""
        yield


class _Guarded(H11Protocol):
    """A connection that has to say what it wants.

    uvicorn bounds the size of a head, and the time between requests; it waits for ever for a first request, and for
    the end of a head that has begun. Not covered: a client that reads its answer slowly, which holds one request and
    at most 64 KiB; and addresses, of which a gateway sees the true ones.
    """

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            transport.abort()
            return
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._head_came()
        elif self._waiting is None:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._waiting = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _head_came(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
