"""Logs and metrics: one JSON line an event, no secret in it, and the names of the contract."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import httpx
import pytest
import structlog
from prometheus_client import REGISTRY
from pydantic import SecretStr

from agentstack_runtime.telemetry import (
    bind,
    configure_logging,
    continue_trace,
    current_traceparent,
    get_logger,
    metrics,
)

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_one_line_says_who_where_and_for_whom(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("executor", pod="executor-0")
    with continue_trace(TRACE), bind(correlation_id="c-1", task_id="t-1", empty=""):
        get_logger("steps").info("step finished", step="plan", seconds=1.5, input_tokens=12)
    get_logger("steps").debug("not at this level")
    (line,) = lines(capsys)
    assert line.pop("timestamp")
    assert line == {
        "event": "step finished",
        "level": "info",
        "logger": "steps",
        "agent": "executor",
        "pod": "executor-0",
        "correlation_id": "c-1",
        "task_id": "t-1",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "span_id": "00f067aa0ba902b7",
        "step": "plan",
        "seconds": 1.5,
        "input_tokens": 12,
    }


def test_no_secret_gets_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("executor")
    log = get_logger("x")
    log.info("hunter is fine", password="hunter2", nested={"api_key": "hunter2", "list": ["redis://u:hunter2@h/0"]})
    log.info("key", value=SecretStr("hunter2"), header="Bearer hunter2", text="sk-hunter2hunter2hunter2")
    logging.getLogger("library").warning("connecting to %s", "rediss://agent:hunter2@redis:6379")
    try:
        raise ValueError("amqp://agent:hunter2@host")
    except ValueError:
        log.exception("it failed")
    text = capsys.readouterr().out
    assert "hunter2" not in text
    assert text.count("[redacted]") == 9, "the last one in message and traceback"
    assert len(text.splitlines()) == 4, "a traceback is a field, not lines of its own"


@pytest.mark.parametrize(
    "value",
    [
        ValueError("redis://agent:hunter2@redis:6379"),
        httpx.URL("https://agent:hunter2@host/path"),
        b"sasl.password=hunter2",
        "redis://agent:hunter@hunter2@redis/0",
        "GET https://host/path?api_key=hunter2&page=1",
        '{"password": "hunter2"}',
        "Settings(url='x', secret='hunter2')",
        "Authorization: Basic hunter2hunter2==",
        {"authorization": {"scheme": "hunter2"}},
        {"x-api-key": ["hunter2"]},
    ],
    ids=str,
)
def test_no_kind_of_value_hides_a_secret(capsys: pytest.CaptureFixture[str], value: object) -> None:
    configure_logging("executor")
    get_logger("x").info("it failed", value=value)
    text = capsys.readouterr().out
    assert "hunter2" not in text
    assert "[redacted]" in text


def test_what_is_no_secret_stays(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("executor")
    harmless = {
        "input_tokens": 12,
        "path": "/work/a@b",
        "url": "https://host/path?page=1",
        "problem": "KAFKA_PASSWORD: is missing",
    }
    get_logger("x").info("basic auth is off", **harmless)
    (line,) = lines(capsys)
    assert {name: line[name] for name in harmless} == harmless
    assert line["event"] == "basic auth is off"


@pytest.mark.parametrize("switched_on", [True, False])
def test_content_only_where_it_is_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, switched_on: bool
) -> None:
    monkeypatch.setenv("LOG_CONTENT", "true" if switched_on else "")
    configure_logging("executor")
    get_logger("x").info("asked", content="what is the weather?")
    assert ("weather" in capsys.readouterr().out) is switched_on


def test_a_trace_goes_on() -> None:
    assert current_traceparent() is None
    with continue_trace(TRACE):
        assert current_traceparent() == TRACE
        with continue_trace("nonsense"):
            assert current_traceparent() == TRACE
        with continue_trace(None):
            assert current_traceparent() == TRACE
    assert current_traceparent() is None


def test_the_names_of_the_contract() -> None:
    metrics.HTTP_REQUESTS.labels("GET", "/tasks/{id}", "200").inc()
    metrics.INPUT_TOKENS.labels("chat", "openai", "gpt-5-mini").inc(3)
    metrics.MODEL_DURATION.labels("chat", "openai", "gpt-5-mini", "").observe(1)
    names = {sample.name for family in REGISTRY.collect() for sample in family.samples}
    assert {
        "http_requests_total",
        "gen_ai_client_inference_usage_input_tokens_total",
        "gen_ai_client_inference_duration_seconds_bucket",
    } <= names
