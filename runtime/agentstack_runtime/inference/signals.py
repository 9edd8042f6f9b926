"""What a model call leaves behind: metrics and one line in the log, by the GenAI names; never prompt, answer or key."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from agentstack_runtime.telemetry import get_logger, metrics

from .breaker import State
from .protocol import Answer, InferenceError

_log = get_logger(__name__)


class Call:
    """One call of a caller, all its attempts and waits together: `with Call(backend, model) as call: ...`.

    Its `error_type` is the name of the error, `cancelled` where the caller left, or empty.
    """

    def __init__(self, backend: str, model: str) -> None:
        self._labels = {
            "gen_ai_operation_name": "chat",
            "gen_ai_provider_name": backend,
            "gen_ai_request_model": model,
        }
        self._answer: Answer | None = None

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        return self

    def answered(self, answer: Answer) -> None:
        """Take down the answer."""
        self._answer = answer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        took = time.monotonic() - self._began
        if self._answer is not None:  # a reader that leaves after the last chunk has missed nothing
            outcome = ""
        elif isinstance(error, Exception):
            outcome = type(error).__name__
        else:
            outcome = "cancelled"
        metrics.MODEL_DURATION.labels(**self._labels, error_type=outcome).observe(took)
        fields: dict[str, object] = {**self._labels, "duration_seconds": round(took, 3)}
        if self._answer is not None:
            fields |= self._count(self._answer)
            _log.info("inference", **fields)
        elif isinstance(error, InferenceError):
            _log.warning("inference", **fields, error_type=outcome, error=str(error))
        else:
            _log.info("inference", **fields, error_type=outcome)

    def _count(self, answer: Answer) -> dict[str, object]:
        for counter, tokens in (
            (metrics.INPUT_TOKENS, answer.input_tokens),
            (metrics.OUTPUT_TOKENS, answer.output_tokens),
        ):
            if tokens is not None:
                counter.labels(**self._labels).inc(tokens)
        return {
            "gen_ai_response_model": answer.model,
            "gen_ai_response_finish_reasons": [answer.finish_reason],
            "gen_ai_usage_input_tokens": answer.input_tokens,
            "gen_ai_usage_output_tokens": answer.output_tokens,
        }


def show_state(dependency: str) -> Callable[[State], None]:
    """Return what shows the state of the breaker of `dependency` as the metric `circuit_breaker_state`."""
    gauge = metrics.BREAKER_STATE.labels(dependency=dependency)
    return lambda state: gauge.set(state.value)
