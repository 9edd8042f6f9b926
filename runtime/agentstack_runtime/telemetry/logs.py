"""JSON lines on standard output, one an event: what happened, in which task, of which request."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, cast

import structlog
from opentelemetry import trace
from pydantic import SecretStr
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

CONTENT: Final = "content"
"""The field for what was asked or answered: it is logged only where the variable LOG_CONTENT is `true`."""
REDACTED: Final = "[redacted]"
_NAMES: Final = r"pass(?:word|wd|phrase)?|secret|token|(?:api|access|private)[_-]?key|authorization|cookie|credential"
# `input_tokens` is a number of tokens, no secret: hence `token` at the end alone.
_SECRET_KEY: Final = re.compile(_NAMES.replace("token", "token$"), re.I)
_LOGIN: Final = re.compile(r"(?<=://)[^\s/\"']+@")
_ASSIGNED: Final = re.compile(rf"((?:{_NAMES})(?:=|[\"']\s*:\s*)[\"']?)[^\s\"'&;,)]+", re.I)
"""`password=...` in what libraries write, in queries of URLs, in JSON."""
_SECRET_TEXT: Final = re.compile(
    r"\b(sk-[\w-]{16,}|eyJ[\w-]+\.[\w-]+\.[\w-]*|Bearer\s+[\w.~+/-]+=*|(?i:authorization):\s*\w+\s+\S+)"
)


def configure_logging(agent: str, *, pod: str | None = None, level: str = "INFO") -> None:
    """Write all logs of the process, those of libraries included, as JSON lines.

    Fields: timestamp (UTC, ISO 8601), level, event, logger, agent, pod; trace_id and span_id in a trace; and what
    `bind` adds. `level` is one of logging's names. A traceback becomes the field `exception`. Values that look like
    secrets are replaced; the field `content` is dropped unless LOG_CONTENT is `true`.
    """
    keep_content = os.environ.get("LOG_CONTENT", "").lower() == "true"

    def identify(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["agent"] = agent
        if pod is not None:
            event["pod"] = pod
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            event["trace_id"] = trace.format_trace_id(span.trace_id)
            event["span_id"] = trace.format_span_id(span.span_id)
        if not keep_content:
            event.pop(CONTENT, None)
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        identify,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _redact,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # One line a request is the business of the metrics; and clients of HTTP log whole URLs.
    for noisy in ("uvicorn.access", "httpx", "httpcore", "openai"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def get_logger(name: str) -> FilteringBoundLogger:
    """Return a logger: `log.info("step finished", step="plan", seconds=1.2)`."""
    return cast(FilteringBoundLogger, structlog.stdlib.get_logger(name))


@contextmanager
def bind(**fields: str) -> Iterator[None]:
    """Give every line inside the block these fields, such as correlation_id and task_id; empty ones are left out."""
    with structlog.contextvars.bound_contextvars(**{name: value for name, value in fields.items() if value}):
        yield


def _redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {key: _clean(key, value) for key, value in event.items()}


def _clean(key: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, SecretStr) or _SECRET_KEY.search(key):
        return REDACTED
    if isinstance(value, Mapping):
        return {str(name): _clean(str(name), part) for name, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(key, part) for part in value]
    # Of whatever kind: the text of a URL or an exception is where logins hide.
    text = _ASSIGNED.sub(rf"\g<1>{REDACTED}", _LOGIN.sub(f"{REDACTED}@", str(value)))
    return _SECRET_TEXT.sub(REDACTED, text)
