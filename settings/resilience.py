"""How an agent bears load and failure: settings that reach its process, checked for sense against each other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from manifests.problems import Problem

from .model import Model, SetsVariables
from .types import Duration, duration_text

_SECOND, _HOUR = timedelta(seconds=1), timedelta(hours=1)


class Retries(Model):
    """Another attempt after a failed request, after a wait that doubles each time."""

    max: int = Field(default=3, ge=0, le=20)
    """Attempts after the first."""
    backoff: Duration = Field(default=timedelta(seconds=1), ge=_SECOND, le=_HOUR)
    """The wait before the first of them, jitter aside."""
    max_backoff: Duration = Field(default=timedelta(seconds=30), ge=_SECOND, le=_HOUR)
    """The longest wait."""

    def problems(self) -> Iterator[Problem]:
        """The first wait is not the longest."""
        if self.max_backoff < self.backoff:
            what = f"{duration_text(self.max_backoff)} is below the first backoff of {duration_text(self.backoff)}"
            yield Problem(("maxBackoff",), what, "raise it, or lower `backoff`")

    @property
    def waits(self) -> timedelta:
        """All waits together."""
        return sum((min(self.backoff * 2**attempt, self.max_backoff) for attempt in range(self.max)), timedelta())


class CircuitBreaker(Model):
    """Stops requests to a dependency that keeps failing."""

    failures: int = Field(default=5, ge=1, le=10_000)
    """Failures within `window` that open it."""
    window: Duration = Field(default=timedelta(minutes=1), ge=_SECOND, le=_HOUR)
    cooldown: Duration = Field(default=timedelta(seconds=30), ge=_SECOND, le=_HOUR)
    """How long it stays open until one request tries again."""


class Resilience(SetsVariables):
    """The contract of load and failure; the agent's process keeps it, the stack hands it over and checks it."""

    variables: ClassVar[frozenset[str]] = frozenset(
        {
            "CONCURRENCY",
            "QUEUE_BOUND",
            "REQUEST_TIMEOUT_SECONDS",
            "RETRY_MAX",
            "RETRY_BACKOFF_SECONDS",
            "RETRY_MAX_BACKOFF_SECONDS",
            "CIRCUIT_BREAKER_FAILURES",
            "CIRCUIT_BREAKER_WINDOW_SECONDS",
            "CIRCUIT_BREAKER_COOLDOWN_SECONDS",
        }
    )

    concurrency: int = Field(ge=1, le=100_000)
    """Tasks that one pod works on at a time."""
    queue_bound: int = Field(ge=1, le=1_000_000)
    """Tasks that one pod holds, those that it works on included: beyond it refuses requests (503), or stops polling."""
    request_timeout: Duration = Field(ge=_SECOND, le=timedelta(hours=24))
    """How long one attempt of a request to a dependency may take."""
    retries: Retries = Retries()
    circuit_breaker: CircuitBreaker | None = CircuitBreaker()
    """`null` for an agent without one."""

    def problems(self) -> Iterator[Problem]:
        """Each limit can be reached."""
        if self.queue_bound < self.concurrency:
            yield Problem(
                ("queueBound",),
                f"{self.queue_bound} is below the concurrency of {self.concurrency}, which it would never let be "
                "reached",
                "raise it, or lower `concurrency`",
            )
        breaker = self.circuit_breaker
        # While a dependency hangs, a failure takes the whole timeout.
        if breaker and breaker.failures * self.request_timeout > breaker.window * self.concurrency:
            yield Problem(
                ("circuitBreaker", "failures"),
                f"{self.concurrency} at a time cannot time out {breaker.failures} times within "
                f"{duration_text(breaker.window)}, so a dependency that hangs would never open it",
                "lower `failures` or `requestTimeout`, or lengthen `window`",
            )

    @property
    def longest_request(self) -> timedelta:
        """How long a request may take that fails at each attempt."""
        return self.request_timeout * (self.retries.max + 1) + self.retries.waits

    def environment(self) -> dict[str, str]:
        """The variables of the agent's process; times in seconds."""
        found = {
            "CONCURRENCY": str(self.concurrency),
            "QUEUE_BOUND": str(self.queue_bound),
            "REQUEST_TIMEOUT_SECONDS": _seconds(self.request_timeout),
            "RETRY_MAX": str(self.retries.max),
            "RETRY_BACKOFF_SECONDS": _seconds(self.retries.backoff),
            "RETRY_MAX_BACKOFF_SECONDS": _seconds(self.retries.max_backoff),
        }
        if self.circuit_breaker is not None:
            found |= {
                "CIRCUIT_BREAKER_FAILURES": str(self.circuit_breaker.failures),
                "CIRCUIT_BREAKER_WINDOW_SECONDS": _seconds(self.circuit_breaker.window),
                "CIRCUIT_BREAKER_COOLDOWN_SECONDS": _seconds(self.circuit_breaker.cooldown),
            }
        return found


def _seconds(value: timedelta) -> str:
    return str(int(value.total_seconds()))
