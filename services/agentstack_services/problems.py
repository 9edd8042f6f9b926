"""What an HTTP request is answered that no service's own protocol has an answer for: problems by RFC 9457."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from agentstack_runtime.lifecycle import problem


def busy(detail: str, *, retry_after: int = 1) -> Response:
    """Return 503: whoever asks again after `retry_after` seconds may have more luck."""
    return problem(503, detail, headers={"Retry-After": str(retry_after)})


async def _of_exception(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    # Never the path: it is the client's, and may hold anything.
    details = {404: "there is nothing at this path", 405: f"{request.method} is not possible at this path"}
    return problem(error.status_code, details.get(error.status_code, error.detail), headers=error.headers)


HANDLERS: Mapping[Any, Any] = {HTTPException: _of_exception}
"""The `exception_handlers` of an application whose own errors are problems."""
