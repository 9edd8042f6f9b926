"""Steps that an HTTP call does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import httpx
from pydantic import JsonValue

from agentstack_services.domain.messages import now
from agentstack_services.workflows.model import REFERENCE, HttpCall, render

from .work import StepFailed, Work

BODY_BYTES = 1024 * 1024
"""How long an answer may be: it goes into Redis."""
_AGAIN = frozenset({408, 429})
"""The 4xx that say "later", not "never"."""


class HttpStep:
    """Calls URLs. Only 2xx is success, and a redirect is none: the egress rules name hosts, and so does the workflow.

    References are made harmless for where they stand: percent-encoded in the URL, and escaped as the inside of a JSON
    text in a body whose Content-Type is JSON, unless the reference is the whole body.
    """

    def __init__(self, client: httpx.AsyncClient | None = None) -> None:
        # Time is bounded by the step's own time-out; connecting is not worth all of it.
        self._client = client or httpx.AsyncClient(timeout=httpx.Timeout(None, connect=10), follow_redirects=False)

    async def run(self, call: HttpCall, work: Work) -> JsonValue:
        """Return the body of the answer."""
        try:
            request = self._request(call, work)
        except (httpx.InvalidURL, ValueError) as error:  # A line break in a header, for one.
            raise StepFailed(f"{call.method}: no valid request ({type(error).__name__})", retryable=False) from error
        where = f"{call.method} {request.url.host}"  # Never the path: it may hold what the client said.
        try:
            response = await self._client.send(request, stream=True, follow_redirects=False)
            try:
                return await _body(response, where)
            finally:
                await response.aclose()
        except (httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
            raise StepFailed(f"{where}: no valid request ({type(error).__name__})", retryable=False) from error
        except httpx.TransportError as error:
            raise StepFailed(f"{where}: no answer ({type(error).__name__})", retryable=True) from error

    async def close(self, seconds: float) -> None:
        """Give back connections; a step of the shutdown."""
        await self._client.aclose()

    def _request(self, call: HttpCall, work: Work) -> httpx.Request:
        headers = httpx.Headers({name: render(value, work.values) for name, value in call.headers.items()})
        headers["Idempotency-Key"] = work.id
        headers["Accept-Encoding"] = "identity"  # What is bounded is what comes over the wire.
        if work.traceparent:
            headers["traceparent"] = work.traceparent
        content = None
        if call.body is not None:
            headers.setdefault("Content-Type", "text/plain; charset=utf-8")
            content = _render_body(call.body, headers["Content-Type"], work.values).encode()
        url = render(call.url, {name: quote(value, safe="") for name, value in work.values.items()})
        return self._client.build_request(call.method, url, headers=headers, content=content)


def _render_body(body: str, content_type: str, values: Mapping[str, str]) -> str:
    if "json" in content_type.lower() and not REFERENCE.fullmatch(body.strip()):
        values = {name: json.dumps(value, ensure_ascii=False)[1:-1] for name, value in values.items()}
    return render(body, values)


async def _body(response: httpx.Response, where: str) -> str:
    status = response.status_code
    if response.is_redirect:
        raise StepFailed(f"{where}: {status}, and redirects are not followed", retryable=False)
    if not response.is_success:
        retryable = status >= 500 or status in _AGAIN
        raise StepFailed(f"{where}: {status}", retryable=retryable, retry_after=_retry_after(response))
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise StepFailed(f"{where}: the answer is compressed, though that was not asked for", retryable=False)
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > BODY_BYTES:
            raise StepFailed(f"{where}: an answer of more than {BODY_BYTES} bytes", retryable=False)
    return body.decode(response.charset_encoding or "utf-8", errors="replace")


def _retry_after(response: httpx.Response) -> float | None:
    said = response.headers.get("Retry-After", "")
    try:
        return max(0.0, float(said) if said.isdigit() else (parsedate_to_datetime(said) - now()).total_seconds())
    except (ValueError, TypeError):
        return None
