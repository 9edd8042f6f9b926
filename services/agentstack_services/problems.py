"""Problems by RFC 9457: what an HTTP request is answered that no service's own protocol has an answer for."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse


class Problem(JSONResponse):
    """A problem of the type `about:blank`: the status says which."""

    media_type = "application/problem+json"

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        title = HTTPStatus(status).phrase
        content = {"type": "about:blank", "title": title, "status": status, "detail": detail}
        super().__init__(content, status, headers=headers)


def busy(detail: str, *, retry_after: int = 1) -> Problem:
    """Return 503: whoever asks again after `retry_after` seconds may have more luck."""
    return Problem(503, detail, headers={"Retry-After": str(retry_after)})


async def _of_exception(request: Request, error: Exception) -> Problem:
    if not isinstance(error, HTTPException):
        raise error
    # Never the path: it is the client's, and may hold anything.
    details = {404: "there is nothing at this path", 405: f"{request.method} is not possible at this path"}
    return Problem(error.status_code, details.get(error.status_code, error.detail), headers=error.headers)


HANDLERS: Mapping[Any, Any] = {HTTPException: _of_exception}
"""The `exception_handlers` of an application whose own errors are problems."""
