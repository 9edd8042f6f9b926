"""Calls of URLs: keys of idempotency, what success is, and what never leaks or grows."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from agentstack_services.executor.steps import StepFailed, Work
from agentstack_services.executor.steps.http import BODY_BYTES, HttpStep
from agentstack_services.workflows.model import HttpCall

VALUES = {"input": 'a "b"/../c?d=e\n', "list": '["x", "y"]'}


async def call(answer: Any, **options: Any) -> tuple[str, httpx.Request]:
    requests: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    client = httpx.AsyncClient(transport=httpx.MockTransport(respond), follow_redirects=True)
    options = {"method": "POST", "url": "https://example.com/notes", **options}
    said = await HttpStep(client).run(HttpCall.model_validate(options), Work("task/step", VALUES, "00-trace"))
    assert isinstance(said, str)
    return said, requests[0]


async def failure(answer: Any, **options: Any) -> StepFailed:
    with pytest.raises(StepFailed) as failed:
        await call(answer, **options)
    return failed.value


def streamed(*parts: bytes, **options: Any) -> httpx.Response:
    async def content():
        for part in parts:
            yield part

    return httpx.Response(200, content=content(), **options)


async def test_a_call_carries_key_and_trace_and_returns_the_body() -> None:
    said, request = await call(
        streamed("gr\u00fc\u00df".encode(), b"e"), body="say ${input}", headers={"X-A": "${list}"}
    )
    assert said == "gr\u00fc\u00dfe"
    assert request.headers["Idempotency-Key"] == "task/step"
    assert request.headers["traceparent"] == "00-trace"
    assert request.headers["X-A"] == VALUES["list"]
    assert request.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert request.content.decode() == f"say {VALUES['input']}"


async def test_no_header_of_the_workflow_replaces_the_key() -> None:
    _, request = await call(streamed(b""), headers={"idempotency-key": "mine"})
    assert request.headers.get_list("Idempotency-Key") == ["task/step"]


async def test_what_a_client_said_cannot_leave_its_place_in_the_url() -> None:
    _, request = await call(streamed(b""), url="https://example.com/notes/${input}/x?kind=${input}")
    encoded = b"a%20%22b%22%2F..%2Fc%3Fd%3De%0A"
    assert request.url.raw_path == b"/notes/" + encoded + b"/x?kind=" + encoded
    assert request.url.host == "example.com"


async def test_what_a_client_said_stays_a_text_in_json() -> None:
    headers = {"content-type": "application/json"}
    _, request = await call(streamed(b""), headers=headers, body='{"q": "${input}"}')
    assert request.read() == b'{"q": "a \\"b\\"/../c?d=e\\n"}'
    _, request = await call(streamed(b""), headers=headers, body="${list}")
    assert request.read() == b'["x", "y"]'


@pytest.mark.parametrize(
    ("status", "retryable"),
    [(400, False), (401, False), (404, False), (409, False), (408, True), (429, True), (500, True), (503, True)],
)
async def test_only_2xx_is_success(status: int, retryable: bool) -> None:
    error = await failure(httpx.Response(status, text="secret"), url="https://example.com/${input}")
    assert str(error) == f"POST example.com: {status}"
    assert error.retryable is retryable


async def test_a_redirect_is_not_followed() -> None:
    error = await failure(httpx.Response(302, headers={"Location": "http://169.254.169.254/"}))
    assert str(error) == "POST example.com: 302, and redirects are not followed"
    assert not error.retryable


@pytest.mark.parametrize(("said", "seconds"), [("7", 7.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("soon", None)])
async def test_retry_after(said: str, seconds: float | None) -> None:
    assert (await failure(httpx.Response(503, headers={"Retry-After": said}))).retry_after == seconds


async def test_a_long_answer_is_not_read_to_its_end() -> None:
    read = 0

    async def endless():
        nonlocal read
        while True:
            read += 65536
            yield b"x" * 65536

    error = await failure(httpx.Response(200, content=endless()))
    assert str(error) == f"POST example.com: an answer of more than {BODY_BYTES} bytes"
    assert read <= BODY_BYTES + 65536


async def test_a_compressed_answer_is_refused_since_its_length_says_nothing() -> None:
    error = await failure(streamed(b"\x1f\x8b", headers={"Content-Encoding": "gzip"}))
    assert "compressed" in str(error)


@pytest.mark.parametrize(
    ("error", "retryable"),
    [(httpx.ConnectError("secret"), True), (httpx.ReadError("secret"), True), (httpx.UnsupportedProtocol("x"), False)],
)
async def test_errors_of_the_connection(error: Exception, retryable: bool) -> None:
    failed = await failure(error)
    assert failed.retryable is retryable
    assert type(error).__name__ in str(failed)
    assert "secret" not in str(failed)


async def test_a_header_that_cannot_be_sent_fails_at_once() -> None:
    error = await failure(streamed(b""), headers={"X-A": "\u2022 ${input}"})
    assert (str(error), error.retryable) == ("POST: no valid request (UnicodeEncodeError)", False)
