"""The guards around a backend: bounded concurrency, time-outs, retries, circuit breaker, metrics."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from datetime import timedelta

import stamina

from .breaker import Breaker
from .protocol import Answer, Chunk, CircuitOpen, InferenceError, Model, Prompt, RateLimited, Timeout
from .signals import Call


class Resilient:
    """Keeps the contract of docs/resilience.md for the calls of one backend.

    - At most `concurrency` calls at a time, retries and their waits included. One more waits for `timeout` at most.
    - An attempt may take `timeout`. For a stream that is the time in which it waits for the model, all chunks
      together: a slow reader is not the model's fault.
    - Up to `retries` more attempts after errors that are `retryable`, after waits that double from `backoff` to
      `max_backoff`, plus jitter of up to `backoff`. The backend's Retry-After wins over the doubling; one longer than
      `max_backoff` ends the call at once, since an earlier attempt would only make things worse. A stream is never
      repeated once a chunk was given out.
    - `breaker` sees each attempt. Time-outs, connections that fail or break, answers that are none, and 5xx count
      against the backend. 4xx do not, and 429 neither: whoever asks to go slower is alive, and an open circuit
      would turn a busy minute into an outage.

    Cancelling a call, or closing a stream, closes its connection and frees its place.
    """

    def __init__(
        self,
        inner: Model,
        *,
        backend: str,
        model: str,
        concurrency: int,
        timeout: timedelta,
        retries: int,
        backoff: timedelta,
        max_backoff: timedelta,
        breaker: Breaker | None = None,
    ) -> None:
        self._inner = inner
        self._backend = backend
        self._model = model
        self._slots = asyncio.Semaphore(concurrency)
        self._timeout = timeout.total_seconds()
        self._retries = retries
        self._backoff = backoff.total_seconds()
        self._max_backoff = max_backoff.total_seconds()
        self._breaker = breaker

    async def complete(self, prompt: Prompt) -> Answer:
        """Answer at once. Raises `InferenceError` and its kinds."""
        with Call(self._backend, prompt.model or self._model) as call:
            async with self._slot():
                async for attempt in self._attempts():
                    with attempt, self._judged():
                        async with self._in_time(self._timeout):
                            answer = await self._inner.complete(prompt)
            call.answered(answer)
            return answer

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        """Answer piece by piece. Raises `InferenceError` and its kinds, in the middle too."""
        with Call(self._backend, prompt.model or self._model) as call:
            async with self._slot():
                async for attempt in self._attempts():
                    with attempt:
                        chunks = self._stream_once(prompt)
                        first = await anext(chunks)
                async with aclosing(chunks):
                    chunk = first
                    while True:
                        if chunk.answer is not None:
                            call.answered(chunk.answer)
                        yield chunk
                        if chunk.answer is not None:
                            return
                        chunk = await anext(chunks)

    async def close(self) -> None:
        """Give back the backend's connections."""
        await self._inner.close()

    async def _stream_once(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        left = self._timeout
        with self._judged():
            async with aclosing(self._inner.stream(prompt)) as chunks:
                while True:
                    began = time.monotonic()
                    async with self._in_time(left):
                        chunk = await anext(chunks)
                    left -= time.monotonic() - began
                    yield chunk

    def _attempts(self) -> AsyncIterator[stamina.Attempt]:
        # A context, not stamina's decorator: that logs the arguments of what it repeats, here a prompt.
        return aiter(
            stamina.retry_context(
                self._again,
                attempts=self._retries + 1,
                timeout=None,
                wait_initial=self._backoff,
                wait_max=self._max_backoff,
                wait_jitter=self._backoff,
            )
        )

    def _again(self, error: Exception) -> bool | float:
        if not isinstance(error, InferenceError) or not error.retryable or isinstance(error, CircuitOpen):
            return False
        if error.retry_after is None:
            return True
        if error.retry_after > self._max_backoff:
            return False
        return error.retry_after + random.uniform(0, self._backoff)

    @contextmanager
    def _judged(self) -> Iterator[None]:
        if self._breaker is None:
            yield
            return
        permit = self._breaker.enter()
        try:
            yield
        except InferenceError as error:
            if error.retryable and not isinstance(error, RateLimited):
                permit.failed()
            else:
                permit.succeeded()
            raise
        except BaseException:
            permit.abandoned()
            raise
        permit.succeeded()

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout):
                await self._slots.acquire()
        except TimeoutError:
            raise Timeout(
                f"{self._backend}: no free place among CONCURRENCY calls within {self._timeout:g} s; "
                "raise CONCURRENCY, or send less"
            ) from None
        try:
            yield
        finally:
            self._slots.release()

    @asynccontextmanager
    async def _in_time(self, seconds: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise Timeout(f"{self._backend}: no answer within REQUEST_TIMEOUT_SECONDS, {self._timeout:g} s") from None
