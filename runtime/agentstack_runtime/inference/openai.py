"""OpenAI's chat completions, by its official client: OpenAI, Azure OpenAI, vLLM, Ollama and what else speaks it.

Left out: tools, images, audio, several choices, the Responses API, Azure's workload identity.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import openai
from openai.types import CompletionUsage

from .protocol import Answer, Chunk, InferenceError, Prompt, RateLimited, Refused, Timeout

Backend = Literal["openai", "azure", "vllm", "ollama"]

_NO_KEY = "none"  # what the client sends to a server that asks for no key: it refuses to send nothing
_REMEDY = {
    400: "mend the prompt or its options",
    401: "give the backend's key",
    403: "give the key access to the model",
    404: "look at INFERENCE_MODEL and INFERENCE_ENDPOINT",
    413: "shorten the prompt",
    422: "mend the prompt or its options",
}
_CODE = re.compile(r"[a-z][a-z0-9_.]{0,63}", re.ASCII)


class OpenAI:
    """Calls `POST {base_url}/chat/completions`, once each: retries and the rest of the contract are `Resilient`'s.

    `key` is asked before each call, so that a rotated key is used at once; `None` where the server asks for none.
    `base_url` is as in OPENAI_BASE_URL, with `/v1`; for `azure` the resource's endpoint as in AZURE_OPENAI_ENDPOINT.
    `api_version` (OPENAI_API_VERSION) is Azure's alone; without one its v1 API is called, which has no versions.
    `timeout` bounds connecting and each wait for bytes.
    """

    def __init__(
        self,
        model: str,
        *,
        backend: Backend = "openai",
        base_url: str,
        key: Callable[[], str | None],
        timeout: timedelta,
        api_version: str | None = None,
    ) -> None:
        self._model = model
        self._backend: Backend = backend

        async def current() -> str:
            return key() or _NO_KEY

        seconds = timeout.total_seconds()
        # Its own retries know neither the breaker nor RETRY_*: they would multiply with ours.
        if backend == "azure" and api_version is not None:
            self._client: openai.AsyncOpenAI = openai.AsyncAzureOpenAI(
                azure_endpoint=base_url, api_version=api_version, api_key=current, timeout=seconds, max_retries=0
            )
        else:
            # https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle
            url = f"{base_url}/openai/v1" if backend == "azure" else base_url
            self._client = openai.AsyncOpenAI(base_url=url, api_key=current, timeout=seconds, max_retries=0)

    async def complete(self, prompt: Prompt) -> Answer:
        """Answer at once. Raises `InferenceError` and its kinds."""
        with self._translated():
            found = await self._client.chat.completions.create(**self._request(prompt), stream=False)
            # A server may leave out what the client's types promise; the handler below says so for all of it.
            message, reason = found.choices[0].message, found.choices[0].finish_reason
            refusal = getattr(message, "refusal", None)
            text = message.content if message.content is not None else refusal or ""
            return self._answer(text, found.model, "refusal" if refusal else reason, found.usage)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        """Answer piece by piece. A stream that ends before the model said that it is done raises `InferenceError`."""
        texts: list[str] = []
        model, reason, refused = prompt.model or self._model, None, False
        usage: CompletionUsage | None = None
        with self._translated():
            events = await self._client.chat.completions.create(
                **self._request(prompt), stream=True, stream_options={"include_usage": True}
            )
        async with events:
            while True:
                with self._translated():
                    event = await anext(events, None)
                    if event is None:
                        break
                    model, usage = event.model or model, event.usage or usage
                    text = ""
                    for choice in event.choices or ():
                        refusal = getattr(choice.delta, "refusal", None)
                        refused = refused or bool(refusal)
                        text += (choice.delta.content or "") + (refusal or "")
                        reason = choice.finish_reason or reason
                if text:
                    texts.append(text)
                    yield Chunk(text=text)
        if reason is None:
            raise InferenceError(f"{self._backend}: the stream broke off before the answer was whole", retryable=True)
        answer = self._answer("".join(texts), model, "refusal" if refused else reason, usage)
        yield Chunk(text="", answer=answer)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _request(self, prompt: Prompt) -> dict[str, Any]:
        request: dict[str, Any] = {"model": prompt.model or self._model, "messages": list(prompt.messages)}
        if prompt.max_output_tokens is not None:
            # Ollama knows the older name alone and passes over the other; OpenAI's reasoning models refuse the older.
            bound = "max_tokens" if self._backend == "ollama" else "max_completion_tokens"
            request[bound] = prompt.max_output_tokens
        if prompt.temperature is not None:
            request["temperature"] = prompt.temperature
        return request

    def _answer(self, text: str, model: str | None, reason: str | None, usage: CompletionUsage | None) -> Answer:
        if not isinstance(text, str) or not reason:
            raise self._nonsense()
        read = usage.prompt_tokens_details if usage else None
        written = usage.completion_tokens_details if usage else None
        return Answer(
            text=text,
            model=model or self._model,
            backend=self._backend,
            input_tokens=usage.prompt_tokens if usage else None,
            output_tokens=usage.completion_tokens if usage else None,
            finish_reason=reason,
            cached_tokens=read.cached_tokens if read else None,
            reasoning_tokens=written.reasoning_tokens if written else None,
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise our errors. Their causes are cut off: those carry the server's words, which may quote prompt or key."""
        try:
            yield
        except openai.APITimeoutError:
            raise Timeout(f"{self._backend}: the connection was silent for too long") from None
        except openai.APIConnectionError as error:
            cause = type(error.__cause__).__name__ if error.__cause__ else "connection lost"
            raise InferenceError(
                f"{self._backend}: no connection, or it broke ({cause}); look at INFERENCE_ENDPOINT", retryable=True
            ) from None
        except openai.APIStatusError as error:
            raise self._status(error) from None
        except openai.APIResponseValidationError:
            raise self._nonsense() from None
        except openai.APIError as error:  # an error that the server put into a stream under way
            raise InferenceError(
                f"{self._backend}: the stream ended with an error{_code(error)}", retryable=True
            ) from None
        except (ValueError, TypeError, AttributeError, LookupError):  # no JSON, or JSON without what has to be there
            raise self._nonsense() from None

    def _status(self, error: openai.APIStatusError) -> InferenceError:
        status = error.status_code
        what = f"{self._backend} answered {status}{_code(error)}"
        wait = _retry_after(error.response.headers.get("retry-after"))
        if status == 429:
            return RateLimited(f"{what}: it asks to go slower, or the quota is used up", retry_after=wait)
        if status == 408 or status >= 500:
            return InferenceError(f"{what}: it is broken or overloaded", retryable=True, retry_after=wait)
        return Refused(f"{what}: {_REMEDY.get(status, 'look at INFERENCE_ENDPOINT')}")

    def _nonsense(self) -> InferenceError:
        return InferenceError(
            f"{self._backend}: what answers is no chat completion; look at INFERENCE_ENDPOINT", retryable=True
        )


def _code(error: openai.APIError) -> str:
    """Return the error's code, where it looks like one: `insufficient_quota`, not a sentence that quotes the prompt."""
    found = error.code or error.type
    return f" ({found})" if isinstance(found, str) and _CODE.fullmatch(found) else ""


def _retry_after(header: str | None) -> float | None:
    """Return seconds, from a number of them or from a date (RFC 9110, 10.2.3)."""
    if header is None:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", header, re.ASCII):
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None
