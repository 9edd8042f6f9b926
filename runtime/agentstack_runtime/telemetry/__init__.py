"""Metrics and logs by the contract, and what ties them together: correlation ids and W3C trace context."""

from .logs import bind, configure_logging, get_logger
from .tracing import continue_trace, current_traceparent

__all__ = ["bind", "configure_logging", "continue_trace", "current_traceparent", "get_logger"]
