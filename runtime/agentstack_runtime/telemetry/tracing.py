"""W3C trace context (https://www.w3.org/TR/trace-context/), by OpenTelemetry's API alone.

Without an SDK in the process, no span is recorded; the trace of a request still reaches whatever comes after.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PROPAGATOR = TraceContextTextMapPropagator()


def current_traceparent() -> str | None:
    """Return the header `traceparent` of what runs now; None outside of a trace."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent")


@contextmanager
def continue_trace(traceparent: str | None) -> Iterator[None]:
    """Go on with the trace of a `traceparent` inside the block; one that is malformed, or None, changes nothing."""
    carrier = {"traceparent": traceparent} if traceparent else {}
    token = context.attach(_PROPAGATOR.extract(carrier, context.get_current()))
    try:
        yield
    finally:
        context.detach(token)
