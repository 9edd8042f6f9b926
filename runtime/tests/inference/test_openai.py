from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from agentstack_runtime.inference import Chunk, InferenceError, Prompt, RateLimited, Refused, Timeout
from agentstack_runtime.inference.openai import Backend, OpenAI

from .reading import read
from .server import USAGE, Server, body, fails, hangs, says, streams, text

KEY = "sk-very-secret"
PROMPT = Prompt.of("a private question", system="be brief")


def client(
    server: Server | str,
    *,
    backend: Backend = "openai",
    key: Callable[[], str | None] = lambda: KEY,
    timeout: float = 5,
    **more: Any,
) -> OpenAI:
    url = server if isinstance(server, str) else server.url + ("" if backend == "azure" else "/v1")
    return OpenAI("asked-model", backend=backend, base_url=url, key=key, timeout=timedelta(seconds=timeout), **more)


@asynccontextmanager
async def closing(model: OpenAI) -> AsyncIterator[OpenAI]:
    yield model
    await model.close()


async def collect(model: OpenAI, prompt: Prompt = PROMPT) -> list[Chunk]:
    async with aclosing(model.stream(prompt)) as stream:
        return [chunk async for chunk in stream]


async def test_an_answer_with_all_that_the_backend_counted(server: Server) -> None:
    server.replies = [says("hello", reason="length")]
    async with closing(client(server)) as model:
        answer = await model.complete(Prompt(messages=PROMPT.messages, max_output_tokens=9, temperature=0.5))
    assert (answer.text, answer.model, answer.backend) == ("hello", "served-model", "openai")
    assert (answer.input_tokens, answer.output_tokens, answer.finish_reason) == (11, 7, "length")
    assert (answer.cached_tokens, answer.reasoning_tokens) == (4, 3)
    assert server.paths == ["/v1/chat/completions"]
    assert server.keys == [f"Bearer {KEY}"]
    assert server.bodies == [
        {
            "model": "asked-model",
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": "a private question"},
            ],
            "max_completion_tokens": 9,
            "temperature": 0.5,
            "stream": False,
        }
    ]


async def test_what_was_not_counted_is_unknown_and_not_nothing(server: Server) -> None:
    server.replies = [says("hello", usage=None)]
    async with closing(client(server)) as model:
        answer = await model.complete(PROMPT)
        assert (answer.input_tokens, answer.output_tokens, answer.cached_tokens) == (None, None, None)
        server.replies = [streams("hello", usage=None)]
        last = (await collect(model))[-1].answer
    assert last is not None
    assert (last.input_tokens, last.output_tokens, last.reasoning_tokens) == (None, None, None)


async def test_a_stream_gives_pieces_and_then_the_whole(server: Server) -> None:
    server.replies = [streams("one ", "two ", "three")]
    async with closing(client(server)) as model:
        chunks = await collect(model)
    assert [chunk.text for chunk in chunks] == ["one ", "two ", "three", ""]
    assert [chunk.answer for chunk in chunks[:-1]] == [None] * 3
    answer = chunks[-1].answer
    assert answer is not None
    assert (answer.text, answer.model, answer.finish_reason) == ("one two three", "served-model", "stop")
    assert (answer.input_tokens, answer.output_tokens, answer.cached_tokens) == (11, 7, 4)
    assert server.bodies[0]["stream_options"] == {"include_usage": True}


async def test_a_count_that_comes_before_the_last_event_is_kept(server: Server) -> None:
    events = (
        {"choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}], "usage": USAGE},
        {"choices": []},
    )
    server.replies = [text("".join(f"data: {json.dumps(event)}\n\n" for event in events), "text/event-stream")]
    async with closing(client(server)) as model:
        answer = (await collect(model))[-1].answer
    assert answer is not None
    assert (answer.text, answer.input_tokens, answer.output_tokens) == ("hi", 11, 7)


async def test_a_refusal_of_the_model_is_an_answer_that_says_so(server: Server) -> None:
    server.replies = [says(None, refusal="I will not"), streams("I will ", "not", refusal=True)]
    async with closing(client(server)) as model:
        whole = await model.complete(PROMPT)
        last = (await collect(model))[-1].answer
    assert last is not None
    assert (whole.text, whole.finish_reason) == (last.text, last.finish_reason) == ("I will not", "refusal")


async def test_a_rotated_key_is_used_at_the_next_call_and_none_where_there_is_none(server: Server) -> None:
    server.replies = [says("hello")]
    keys: list[str | None] = ["old", "new", None]
    async with closing(client(server, key=lambda: keys.pop(0))) as model:
        for _ in range(3):
            await model.complete(PROMPT)
    assert server.keys == ["Bearer old", "Bearer new", "Bearer none"]


async def test_azure_by_version_and_by_its_api_without_versions(server: Server) -> None:
    server.replies = [says("hello")]
    async with closing(client(server, backend="azure", api_version="2025-04-01-preview")) as model:
        assert (await model.complete(PROMPT)).backend == "azure"
    async with closing(client(server, backend="azure")) as model:
        await model.complete(PROMPT)
    assert server.paths == [
        "/openai/deployments/asked-model/chat/completions?api-version=2025-04-01-preview",
        "/openai/v1/chat/completions",
    ]
    assert server.keys == [KEY, f"Bearer {KEY}"]


async def test_ollama_gets_the_bound_by_the_name_that_it_knows(server: Server) -> None:
    server.replies = [says("hello")]
    async with closing(client(server, backend="ollama")) as model:
        await model.complete(Prompt(messages=PROMPT.messages, max_output_tokens=9))
    assert server.bodies[0]["max_tokens"] == 9
    assert "max_completion_tokens" not in server.bodies[0]


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, Refused, False),
        (401, Refused, False),
        (403, Refused, False),
        (404, Refused, False),
        (422, Refused, False),
        (408, InferenceError, True),
        (429, RateLimited, True),
        (500, InferenceError, True),
        (503, InferenceError, True),
    ],
)
async def test_a_status_is_one_of_our_errors_without_the_servers_words(
    server: Server, status: int, kind: type[InferenceError], retryable: bool
) -> None:
    server.replies = [fails(status, code="some_code", message=f"you asked 'a private question' with {KEY}")]
    async with closing(client(server)) as model:
        with pytest.raises(InferenceError) as caught:
            await model.complete(PROMPT)
        with pytest.raises(kind):
            await collect(model)
    assert type(caught.value) is kind
    assert caught.value.retryable is retryable
    assert f"openai answered {status} (some_code)" in str(caught.value)
    assert not {"private", KEY} & set(repr(caught.value).replace("'", " ").split())
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert len(server.bodies) == 2, "the client repeats nothing itself"


async def test_a_code_that_is_a_sentence_is_left_out(server: Server) -> None:
    server.replies = [fails(400, code="a private question is no question")]
    async with closing(client(server)) as model:
        with pytest.raises(Refused, match=r"^openai answered 400: mend the prompt"):
            await model.complete(PROMPT)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("in an hour", 3600.0),
        ("soon", None),
        ("-3", None),
        ("nan", None),
    ],
)
async def test_retry_after(server: Server, header: str, seconds: float | None) -> None:
    if header == "in an hour":
        header = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    server.replies = [fails(429, {"retry-after": header})]
    async with closing(client(server)) as model:
        with pytest.raises(RateLimited) as caught:
            await model.complete(PROMPT)
    assert caught.value.retry_after == (None if seconds is None else pytest.approx(seconds, abs=60))


@pytest.mark.parametrize(
    "reply",
    [
        text("<html>a proxy's page</html>", "text/html"),
        text('{"choices": [', "application/json"),
        text("[]", "application/json"),
        body({}),
        body({"choices": []}),
        body({"choices": [{}]}),
        body({"choices": None}),
        body({"choices": [{"message": {"content": {"not": "text"}}, "finish_reason": "stop"}]}),
        says("hello", usage="many"),
    ],
)
async def test_what_is_no_completion_is_one_clear_error(server: Server, reply: Any) -> None:
    server.replies = [reply]
    async with closing(client(server)) as model:
        with pytest.raises(InferenceError, match=r"openai: what answers is no chat completion; look at INFERENCE_END"):
            await model.complete(PROMPT)
        with pytest.raises(InferenceError):
            await collect(model)


@pytest.mark.parametrize(("end", "says_so"), [("cut", "broke"), ("early", "broke off"), ("error", "server_error")])
async def test_a_stream_that_breaks_is_an_error_after_what_came(server: Server, end: str, says_so: str) -> None:
    server.replies = [streams("one ", "two ", end=end)]
    got: list[str] = []
    async with closing(client(server)) as model:
        with pytest.raises(InferenceError, match=says_so) as caught:
            await read(model.stream(PROMPT), got)
    assert got == ["one ", "two "]
    assert caught.value.retryable
    assert "quotes" not in str(caught.value)


async def test_a_stream_with_an_event_that_is_no_json(server: Server) -> None:
    server.replies = [text("data: {oh\n\n", "text/event-stream")]
    async with closing(client(server)) as model:
        with pytest.raises(InferenceError, match="no chat completion"):
            await collect(model)


async def test_silence_and_nobody_there(server: Server) -> None:
    server.replies = [hangs]
    async with closing(client(server, timeout=0.1)) as model:
        with pytest.raises(Timeout, match="openai: the connection was silent"):
            await model.complete(PROMPT)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with closing(client(f"http://127.0.0.1:{port}/v1")) as model:
        with pytest.raises(InferenceError, match="no connection") as caught:
            await model.complete(PROMPT)
    assert caught.value.retryable


async def test_cancelling_closes_the_connection(server: Server) -> None:
    server.replies = [hangs]
    async with closing(client(server)) as model:
        call = asyncio.create_task(model.complete(PROMPT))
        while not server.working:
            await asyncio.sleep(0.005)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(server.left.wait(), 2)


async def test_closing_a_stream_closes_the_connection(server: Server) -> None:
    server.replies = [streams("one ", *["more "] * 1000, pause=0.05)]
    async with closing(client(server)) as model:
        async with aclosing(model.stream(PROMPT)) as stream:
            assert (await anext(stream)).text == "one "
            assert not server.left.is_set()
        await asyncio.wait_for(server.left.wait(), 2)
