"""The metrics of the contract, in the process's registry. Labels have few values: routes are templates, never paths.

Model calls have the names of OpenTelemetry's conventions for generative AI, as Prometheus writes them: dots become
underscores, seconds and totals are suffixes.
https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/client-inference.md#metrics
"""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_FAST: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# The boundaries that the conventions name for durations of model calls.
_MODEL: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_CALL: Final = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")

HTTP_REQUESTS: Final = Counter("http_requests_total", "Requests that were answered.", ("method", "route", "status"))
HTTP_DURATION: Final = Histogram(
    "http_request_duration_seconds",
    "From the request's head to the end of the answer.",
    ("method", "route"),
    buckets=_FAST,
)
WORK_IN_FLIGHT: Final = Gauge("agent_work_in_flight", "Requests and messages that are being worked on.", ("kind",))
QUEUE_WAIT: Final = Histogram(
    "agent_queue_wait_seconds",
    "From a message's time to the start of the work on it.",
    ("topic",),
    buckets=(*_FAST, 30.0, 60.0, 300.0),
)
MESSAGES: Final = Counter(
    "agent_messages_total", "Messages by what became of them: done, retried, dead or dropped.", ("topic", "outcome")
)
BREAKER_STATE: Final = Gauge("circuit_breaker_state", "0 closed, 1 half-open, 2 open.", ("dependency",))
MODEL_DURATION: Final = Histogram(
    "gen_ai_client_inference_duration_seconds",
    "A model call, its retries included.",
    (*_CALL, "error_type"),
    buckets=_MODEL,
)
INPUT_TOKENS: Final = Counter(
    "gen_ai_client_inference_usage_input_tokens_total", "Tokens of prompts, cached ones included.", _CALL
)
OUTPUT_TOKENS: Final = Counter(
    "gen_ai_client_inference_usage_output_tokens_total", "Tokens of answers, those of reasoning included.", _CALL
)
