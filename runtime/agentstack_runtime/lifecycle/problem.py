"""Errors as RFC 9457 has them (https://www.rfc-editor.org/rfc/rfc9457)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from starlette.responses import JSONResponse
from starlette.types import Receive

PROBLEM_JSON: Final = "application/problem+json"
DISCARDED_BYTES: Final = 4 * 1024 * 1024
"""Bytes of a body that nobody wants which are still read."""
DISCARDED_SECONDS: Final = 5.0
"""Seconds for that at most."""


def problem(status: int, detail: str, *, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return the response for an error: `status` of HTTP, and in `detail` what the client can do about it."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(body, status, headers=headers, media_type=PROBLEM_JSON)


async def discard(receive: Receive) -> None:
    """Read what is left of a body that is refused, within bounds.

    A client that is still sending when the connection closes is told of a reset, and never sees the answer.
    """
    left = DISCARDED_BYTES
    try:
        async with asyncio.timeout(DISCARDED_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return
