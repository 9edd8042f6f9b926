from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest

from agentstack_runtime.inference import (
    Answer,
    Chunk,
    CircuitOpen,
    InferenceError,
    Model,
    Prompt,
    RateLimited,
    Refused,
    Timeout,
)
from agentstack_runtime.inference.breaker import Breaker, State
from agentstack_runtime.inference.openai import OpenAI
from agentstack_runtime.inference.resilient import Resilient

from .server import Server, fails, hangs, says, streams

PROMPT = Prompt.of("a private question")
ANSWER = Answer(text="yes", model="m", backend="double", input_tokens=1, output_tokens=1, finish_reason="stop")
BROKEN = InferenceError("double answered 500", retryable=True)


class Double:
    """A backend that does what its script says, a step a call: an error, seconds to wait, or chunks and errors."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.calls = 0
        self.at: list[float] = []
        self.cancelled = 0

    async def complete(self, prompt: Prompt) -> Answer:
        async with aclosing(self.stream(prompt)) as stream:
            async for _ in stream:
                pass
        return ANSWER

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        step = self.script[min(self.calls, len(self.script) - 1)]
        self.calls += 1
        self.at.append(time.monotonic())
        try:
            for part in step if isinstance(step, list) else [step]:
                match part:
                    case Exception():
                        raise part
                    case float():
                        await asyncio.sleep(part)
                    case str():
                        yield Chunk(text=part)
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise
        yield Chunk(text="", answer=ANSWER)

    async def close(self) -> None:
        pass


def guarded(inner: Model, breaker: Breaker | None = None, **more: Any) -> Resilient:
    contract: dict[str, Any] = {
        "concurrency": 2,
        "timeout": timedelta(seconds=5),
        "retries": 2,
        "backoff": timedelta(milliseconds=20),
        "max_backoff": timedelta(milliseconds=100),
    }
    return Resilient(inner, backend="double", model="m", breaker=breaker, **contract | more)


def breaker(failures: int = 3, cooldown: float = 60) -> Breaker:
    window = timedelta(minutes=1)
    return Breaker("double", failures=failures, window=window, cooldown=timedelta(seconds=cooldown))


def over(server: Server, **more: Any) -> Resilient:
    inner = OpenAI("m", base_url=f"{server.url}/v1", key=lambda: "k", timeout=timedelta(seconds=30))
    return guarded(inner, **more)


async def collect(model: Model) -> str:
    async with aclosing(model.stream(PROMPT)) as stream:
        return "".join([chunk.text async for chunk in stream])


@pytest.fixture(params=["complete", "stream"])
def ask(request: pytest.FixtureRequest) -> Any:
    """Both ways to ask keep the same contract."""

    async def complete(model: Model) -> None:
        await model.complete(PROMPT)

    async def stream(model: Model) -> None:
        await collect(model)

    return {"complete": complete, "stream": stream}[request.param]


class TestRetries:
    async def test_what_may_be_retried_is_retried_until_it_answers(self, ask: Any) -> None:
        inner = Double(BROKEN, Timeout("double"), [])
        await ask(guarded(inner))
        assert inner.calls == 3

    async def test_the_number_of_attempts_is_bounded_and_the_last_error_is_raised(self, ask: Any) -> None:
        inner = Double(BROKEN)
        with pytest.raises(InferenceError) as caught:
            await ask(guarded(inner))
        assert caught.value is BROKEN
        assert inner.calls == 3

    async def test_a_refusal_is_final(self, ask: Any) -> None:
        inner = Double(Refused("double answered 401"), [])
        with pytest.raises(Refused):
            await ask(guarded(inner))
        assert inner.calls == 1

    async def test_a_mistake_in_the_program_is_no_reason_to_try_again(self, ask: Any) -> None:
        inner = Double(KeyError("bug"), [])
        with pytest.raises(KeyError):
            await ask(guarded(inner))
        assert inner.calls == 1

    async def test_retry_after_wins_over_the_backoff(self, ask: Any) -> None:
        inner = Double(RateLimited("double answered 429", retry_after=0.3), [])
        await ask(guarded(inner, max_backoff=timedelta(seconds=1)))
        assert 0.3 <= inner.at[1] - inner.at[0] < 1

    async def test_a_longer_retry_after_than_the_contract_allows_ends_the_call(self, ask: Any) -> None:
        inner = Double(RateLimited("double answered 429", retry_after=0.2), [])
        with pytest.raises(RateLimited) as caught:
            await ask(guarded(inner))
        assert inner.calls == 1
        assert caught.value.retry_after == 0.2

    async def test_a_started_stream_is_never_repeated(self) -> None:
        inner = Double(["one", BROKEN], ["two"])
        got = []
        with pytest.raises(InferenceError, match="500"):
            async for chunk in guarded(inner).stream(PROMPT):
                got.append(chunk.text)
        assert (got, inner.calls) == (["one"], 1)

    async def test_over_the_wire(self, server: Server) -> None:
        server.replies = [fails(500), fails(429, {"retry-after": "0.2"}), says("hello")]
        model = over(server, max_backoff=timedelta(seconds=1))
        assert (await model.complete(PROMPT)).text == "hello"
        server.replies = [fails(503), streams("one ", "two")]
        assert await collect(model) == "one two"
        server.replies = [fails(401)]
        with pytest.raises(Refused, match="401: give the backend's key"):
            await model.complete(PROMPT)
        assert len(server.bodies) == 3 + 2 + 1
        await model.close()


class TestTimeouts:
    async def test_each_attempt_has_its_time(self, ask: Any) -> None:
        inner = Double(5.0, [0.01])
        await ask(guarded(inner, timeout=timedelta(seconds=0.2)))
        assert (inner.calls, inner.cancelled) == (2, 1)

    async def test_a_stream_that_drips_has_the_same_time_for_all_of_it(self) -> None:
        inner = Double(["a", 0.1, "b", 0.1, "c", 0.1, "d", 0.1, "e"])
        with pytest.raises(Timeout, match=r"double: no answer within REQUEST_TIMEOUT_SECONDS, 0\.25 s"):
            await collect(guarded(inner, timeout=timedelta(seconds=0.25)))
        assert (inner.calls, inner.cancelled) == (1, 1)

    async def test_a_slow_reader_is_not_the_models_fault(self) -> None:
        model = guarded(Double(["a", "b", "c"]), timeout=timedelta(seconds=0.15))
        got = []
        async for chunk in model.stream(PROMPT):
            got.append(chunk.text)
            await asyncio.sleep(0.1)
        assert got == ["a", "b", "c", ""]

    async def test_over_the_wire_the_connection_is_closed(self, server: Server) -> None:
        server.replies = [hangs]
        model = over(server, timeout=timedelta(seconds=0.2), retries=0)
        with pytest.raises(Timeout):
            await model.complete(PROMPT)
        await asyncio.wait_for(server.left.wait(), 2)
        await model.close()


class TestBreaker:
    async def test_each_attempt_counts_and_an_open_circuit_ends_the_call_at_once(self, ask: Any) -> None:
        inner, circuit = Double(BROKEN), breaker(failures=2)
        with pytest.raises(CircuitOpen, match="double kept failing"):
            await ask(guarded(inner, circuit))
        assert inner.calls == 2
        with pytest.raises(CircuitOpen):
            await ask(guarded(inner, circuit))
        assert inner.calls == 2

    @pytest.mark.parametrize("error", [Refused("400"), RateLimited("429")])
    async def test_a_backend_that_answers_is_not_broken(self, ask: Any, error: InferenceError) -> None:
        circuit = breaker(failures=1)
        with pytest.raises(type(error)):
            await ask(guarded(Double(error), circuit))
        assert circuit.state is State.CLOSED

    @pytest.mark.parametrize("error", [BROKEN, 5.0])
    async def test_a_backend_that_is_broken_or_silent_is(self, ask: Any, error: Any) -> None:
        circuit = breaker(failures=1)
        with pytest.raises(InferenceError):
            await ask(guarded(Double(error), circuit, timeout=timedelta(seconds=0.1), retries=0))
        assert circuit.state is State.OPEN

    async def test_a_stream_that_breaks_is_a_failure_and_one_that_is_left_is_none(self) -> None:
        circuit = breaker(failures=1)
        async with aclosing(guarded(Double(["one", "two"]), circuit).stream(PROMPT)) as stream:
            await anext(stream)
        assert circuit.state is State.CLOSED
        with pytest.raises(InferenceError):
            await collect(guarded(Double(["one", BROKEN]), circuit))
        assert circuit.state is State.OPEN

    async def test_many_at_once_make_one_probe(self) -> None:
        inner, circuit = Double(BROKEN, [0.1]), breaker(failures=1, cooldown=0)
        model = guarded(inner, circuit, retries=0, concurrency=10)
        with pytest.raises(InferenceError):
            await model.complete(PROMPT)
        found = await asyncio.gather(*(model.complete(PROMPT) for _ in range(10)), return_exceptions=True)
        assert inner.calls == 2
        assert sum(isinstance(one, CircuitOpen) for one in found) == 9
        assert circuit.state is State.CLOSED

    async def test_a_probe_that_is_cancelled_is_no_verdict(self) -> None:
        circuit = breaker(failures=1, cooldown=0)
        model = guarded(Double(BROKEN, 5.0, []), circuit, retries=0)
        with pytest.raises(InferenceError):
            await model.complete(PROMPT)
        probe = asyncio.create_task(model.complete(PROMPT))
        await asyncio.sleep(0.05)
        probe.cancel()
        await asyncio.wait([probe])
        assert circuit.state is State.HALF_OPEN
        assert await model.complete(PROMPT) == ANSWER
        assert circuit.state is State.CLOSED


class TestConcurrency:
    async def test_no_more_than_the_contract_says_at_a_time(self, server: Server) -> None:
        server.replies = [streams("a", "b", pause=0.05)]
        model = over(server, concurrency=3)
        assert await asyncio.gather(*(collect(model) for _ in range(12))) == ["ab"] * 12
        assert len(server.bodies) == 12
        await model.close()

    async def test_the_bound_is_kept_and_reached(self) -> None:
        working = most = 0

        class Counting(Double):
            async def complete(self, prompt: Prompt) -> Answer:
                nonlocal working, most
                working += 1
                most = max(most, working)
                await asyncio.sleep(0.01)
                working -= 1
                return ANSWER

        model = guarded(Counting(), concurrency=3)
        await asyncio.gather(*(model.complete(PROMPT) for _ in range(20)))
        assert most == 3

    async def test_who_waits_too_long_is_told_and_the_breaker_is_not(self, ask: Any) -> None:
        circuit = breaker(failures=1)
        inner = Double(["a", 0.3, "b"])
        model = guarded(inner, circuit, concurrency=1, timeout=timedelta(seconds=0.5), retries=0)
        async with aclosing(model.stream(PROMPT)) as held:
            await anext(held)
            with pytest.raises(Timeout, match="no free place"):
                await ask(model)
        assert inner.calls == 1
        assert circuit.state is State.CLOSED
        await ask(model)

    async def test_cancelling_frees_the_place_and_closes_the_connection(self, server: Server, ask: Any) -> None:
        server.replies = [hangs, hangs, says("hello")]
        model = over(server, concurrency=1, timeout=timedelta(seconds=10))
        call = asyncio.create_task(ask(model))
        while not server.working:
            await asyncio.sleep(0.005)
        waiting = asyncio.create_task(ask(model))  # cancelled while it waits for the place
        await asyncio.sleep(0.05)
        for task in (waiting, call):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await asyncio.wait_for(server.left.wait(), 2)
        assert len(server.bodies) == 1
        server.replies = [says("hello")]
        assert (await asyncio.wait_for(model.complete(PROMPT), 2)).text == "hello"
        await model.close()

    async def test_a_stream_that_is_cancelled_in_the_middle_frees_both_as_well(self, server: Server) -> None:
        server.replies = [streams("one ", *["more "] * 1000, pause=0.02)]
        model = over(server, concurrency=1)
        got: list[str] = []

        async def read() -> None:
            async with aclosing(model.stream(PROMPT)) as stream:
                async for chunk in stream:
                    got.append(chunk.text)

        reader = asyncio.create_task(read())
        while len(got) < 3:
            await asyncio.sleep(0.005)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        await asyncio.wait_for(server.left.wait(), 2)
        server.replies = [says("hello")]
        assert (await asyncio.wait_for(model.complete(PROMPT), 2)).text == "hello"
        await model.close()

    async def test_cancelled_while_it_waits_to_try_again(self, ask: Any) -> None:
        inner = Double(BROKEN)
        model = guarded(inner, backoff=timedelta(seconds=5), max_backoff=timedelta(seconds=5), concurrency=1)
        call = asyncio.create_task(ask(model))
        await asyncio.sleep(0.1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        inner.script = [[]]
        await asyncio.wait_for(ask(model), 1)
        assert inner.calls == 2
