from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest
import stamina.instrumentation
import structlog
from prometheus_client import REGISTRY
from structlog.testing import LogCapture

from agentstack_runtime.inference import Answer, Prompt, Refused, Timeout, signals
from agentstack_runtime.inference.breaker import Breaker
from agentstack_runtime.inference.resilient import Resilient
from agentstack_runtime.inference.signals import show_state

from .test_resilient import BROKEN, Double

PROMPT = Prompt.of("a private question")


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the room logs."""
    capture = LogCapture()
    logger = structlog.wrap_logger(
        None, processors=[capture], wrapper_class=structlog.make_filtering_bound_logger("INFO")
    )
    monkeypatch.setattr(signals, "_log", logger)
    return capture.entries


def guarded(inner: Double, model: str, **more: Any) -> Resilient:
    """Each test has a model of its own, since metrics are the process's."""
    wait = timedelta(milliseconds=10)
    seconds = timedelta(seconds=0.2)
    return Resilient(
        inner,
        backend="double",
        model=model,
        concurrency=1,
        timeout=seconds,
        retries=1,
        backoff=wait,
        max_backoff=wait,
        **more,
    )


def value(name: str, model: str, **more: str) -> float | None:
    labels = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "double", "gen_ai_request_model": model}
    return REGISTRY.get_sample_value(f"gen_ai_client_inference_{name}", labels | more)


async def test_a_call_with_its_tokens_is_counted_once_whatever_its_attempts(lines: list[Any]) -> None:
    await guarded(Double(BROKEN, []), "counted").complete(PROMPT)
    assert value("duration_seconds_count", "counted", error_type="") == 1
    assert value("usage_input_tokens_total", "counted") == 1
    assert value("usage_output_tokens_total", "counted") == 1
    (line,) = lines
    assert line["event"] == "inference"
    assert line["gen_ai_response_finish_reasons"] == ["stop"]
    assert "private" not in repr(lines)


async def test_what_the_backend_did_not_count_is_not_counted() -> None:
    class Silent(Double):
        async def complete(self, prompt: Prompt) -> Answer:
            return Answer(
                text="yes", model="m", backend="double", input_tokens=None, output_tokens=None, finish_reason="stop"
            )

    await guarded(Silent(), "uncounted").complete(PROMPT)
    assert value("usage_input_tokens_total", "uncounted") is None
    assert value("duration_seconds_count", "uncounted", error_type="") == 1


@pytest.mark.parametrize(
    ("step", "outcome"), [(Refused("double answered 401"), "Refused"), (5.0, "Timeout"), (BROKEN, "InferenceError")]
)
async def test_a_call_that_fails_says_how(step: Any, outcome: str, lines: list[Any]) -> None:
    with pytest.raises((Refused, Timeout, type(BROKEN))):
        await guarded(Double(step), outcome).complete(PROMPT)
    assert value("duration_seconds_count", outcome, error_type=outcome) == 1
    (line,) = lines
    assert (line["log_level"], line["error_type"]) == ("warning", outcome)
    assert line["error"].startswith("double")
    assert "private" not in repr(lines)


async def test_what_is_logged_of_a_retry_has_no_prompt_in_it() -> None:
    seen: list[Any] = []
    stamina.instrumentation.set_on_retry_hooks([seen.append])
    try:
        await guarded(Double(BROKEN, []), "retried").complete(PROMPT)
    finally:
        stamina.instrumentation.set_on_retry_hooks(None)
    assert len(seen) == 1
    assert "private" not in repr(seen)


async def test_a_call_that_is_cancelled_or_left_says_so() -> None:
    call = asyncio.create_task(guarded(Double(5.0), "cancelled").complete(PROMPT))
    await asyncio.sleep(0.05)
    call.cancel()
    await asyncio.wait([call])
    async with aclosing(guarded(Double(["one", "two"]), "left").stream(PROMPT)) as stream:
        await anext(stream)
    for model in ("cancelled", "left"):
        assert value("duration_seconds_count", model, error_type="cancelled") == 1


async def test_a_stream_of_which_all_came_is_an_answer_though_it_was_closed() -> None:
    async with aclosing(guarded(Double(["one"]), "whole").stream(PROMPT)) as stream:
        async for chunk in stream:
            if chunk.answer:
                break
    assert value("duration_seconds_count", "whole", error_type="") == 1
    assert value("usage_output_tokens_total", "whole") == 1


def test_the_state_of_the_breaker_is_a_metric() -> None:
    def shown() -> float | None:
        return REGISTRY.get_sample_value("circuit_breaker_state", {"dependency": "shown"})

    second = timedelta(seconds=1)
    now = 0.0
    breaker = Breaker(
        "shown", failures=1, window=second, cooldown=second, clock=lambda: now, on_state=show_state("shown")
    )
    seen = [shown()]
    breaker.enter().failed()
    seen.append(shown())
    now = 1.0
    probe = breaker.enter()
    seen.append(shown())
    probe.succeeded()
    assert [*seen, shown()] == [0, 2, 1, 0]
