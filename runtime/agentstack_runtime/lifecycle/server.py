"""uvicorn within bounds, and with its signals left to the process."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
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
"""Open connections of a port: for the next one, one that is idle is closed. Each costs about 10 KiB."""
_OWN_FILES: Final = 256
"""Of the files that the process may open, those that are not for connections of clients."""


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
                # Else what one request bound, such as its trace, shows in the next of the same connection.
                reset_contextvars=True,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; or return at once, after a line in the log, where the port is taken."""
        try:
            await super().startup(sockets)
        except SystemExit:  # It would leave the event loop without any shutdown.
            self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process."""
        yield


class _Guarded(H11Protocol):
    """A connection that has to say what it wants.

    uvicorn bounds the size of a head, and the time between requests; it waits for ever for a first request, and for
    the end of a head that has begun; and it has no room to keep for newcomers, such as the kubelet with its probe.
    Bodies are the edge's business. Not covered: a client that reads its answer slowly, which holds one request and at
    most 64 KiB; and addresses, of which a gateway sees the true ones.
    """

    _waiting: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Whether no request is being answered."""
        return not self.transport.is_closing() and (self.cycle is None or self.cycle.response_complete)

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > _room():
            others = (other for other in self.connections if other is not self)
            idle = next((other for other in others if isinstance(other, _Guarded) and other.idle), self)
            idle.transport.abort()
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


def _room() -> int:
    """Return how many connections may be open: without a free file none can be accepted, and no probe either."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS if files == resource.RLIM_INFINITY else max(1, min(CONNECTIONS, files - _OWN_FILES))
