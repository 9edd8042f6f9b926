"""What the outermost layer and the handler know of one HTTP request, past the SDK between them."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from a2a.utils.errors import A2AError

from agentstack_services.domain.messages import Trail


class RefusedError(A2AError):
    """Not now, and nothing was done: A2A has no error for that, HTTP has 503."""


@dataclass
class Exchange:
    """One request."""

    origin: str | None
    """The scheme and host that the client spoke to; None if it named none that can be repeated."""
    trail: Trail
    refused: str | None = None
    """Why it is refused, if it is."""
    retry_after: int = 1
    """Seconds after which a client that was refused may try again."""


_current: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


def begin(exchange: Exchange) -> None:
    """Make `exchange` the one of this request."""
    _current.set(exchange)


def current() -> Exchange:
    """Return that of this request."""
    return _current.get() or Exchange(origin=None, trail=Trail())


def refuse(reason: str, *, retry_after: int = 1) -> RefusedError:
    """Return the error to raise; the client is answered 503 with `Retry-After`, in seconds."""
    exchange = current()
    exchange.refused, exchange.retry_after = reason, retry_after
    return RefusedError(reason)
