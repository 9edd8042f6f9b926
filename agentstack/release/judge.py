"""Whether a candidate does as well as the stable version, by what Prometheus has seen of both."""

from __future__ import annotations

import enum
import http.client
import json
import math
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from settings.rollout import Analysis

_TIMEOUT = 10
"""Seconds until an answer of Prometheus is given up."""


Ask = Callable[[str, float | None], float | None]
"""Gives the value of a query, now or at a Unix time; None where there is no series."""


class PrometheusError(Exception):
    """Prometheus cannot be asked, or refuses the question."""


class Prometheus:
    """The HTTP API of a Prometheus at `url`. https://prometheus.io/docs/prometheus/latest/querying/api/"""

    def __init__(self, url: str) -> None:
        self._url = f"{url.rstrip('/')}/api/v1/query"

    def value(self, query: str, at: float | None = None) -> float | None:
        """Return the value of a query that gives one, now or `at` a Unix time; None where there is no series.

        Raises `PrometheusError`.
        """
        fields = {"query": query} if at is None else {"query": query, "time": f"{at:.3f}"}
        try:
            with urllib.request.urlopen(f"{self._url}?{urllib.parse.urlencode(fields)}", timeout=_TIMEOUT) as answer:
                result = json.load(answer)["data"]["result"]
            number = float(result[0]["value"][1]) if result else None
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
            raise PrometheusError(f"{self._url}: {error}") from None
        return None if number is None or math.isnan(number) else number


@dataclass(frozen=True)
class Figures:
    """What Prometheus has seen of one version in one span of time."""

    requests: float
    errors: float
    """Answers with a status of 500 or more."""
    p95: float | None
    """The 95th percentile of the durations in seconds; None where no histogram is exported."""
    restarts: float | None
    """Of its containers; None where nothing is known of its pods."""

    @property
    def error_rate(self) -> float:
        """The share of errors in percent."""
        return 100 * self.errors / self.requests if self.requests else 0.0


def figures(
    ask: Ask,
    *,
    namespace: str,
    agent: str,
    track: str | None,
    seconds: float,
    at: float | None = None,
) -> Figures:
    """Ask for the figures of an agent's pods, or of those on one `track`, in the `seconds` before now, or before `at`.

    Raises `PrometheusError`.
    """
    pods = f'namespace="{namespace}", app="{agent}"' + (f', track="{track}"' if track else "")
    span = f"[{max(1, math.ceil(seconds))}s]"
    of_errors = (f'increase(http_requests_total{{{pods}, {label}=~"5.."}}{span})' for label in ("status", "code"))
    restarts = f'increase(kube_pod_container_status_restarts_total{{namespace="{namespace}"}}{span})'
    return Figures(
        requests=ask(f"sum(increase(http_requests_total{{{pods}}}{span}))", at) or 0,
        errors=ask(f"sum({' or '.join(of_errors)})", at) or 0,
        p95=ask(
            f"histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket{{{pods}}}{span})))", at
        ),
        restarts=ask(f"sum({restarts} * on (namespace, pod) group_left () agentstack:pod:info{{{pods}}})", at),
    )


class Verdict(enum.Enum):
    """What the figures say of a candidate."""

    GOOD = "good"
    BAD = "bad"
    UNDECIDED = "undecided"
    """There is too little to go by."""


def judge(candidate: Figures, stable: Figures | None, analysis: Analysis) -> tuple[Verdict, str]:
    """Compare two versions; return the verdict and its reason.

    Without figures of the stable version, the candidate is measured against one that makes no errors.
    """
    if candidate.restarts is None:
        return Verdict.UNDECIDED, "nothing is known of the candidate's pods"
    # Prometheus extrapolates: one restart may read as 1.2.
    if round(candidate.restarts) > analysis.restarts:
        return Verdict.BAD, f"its containers restarted {candidate.restarts:.0f} times"
    if analysis.min_requests == 0:
        return Verdict.GOOD, "no restarts"
    if candidate.requests < analysis.min_requests:
        return Verdict.UNDECIDED, f"{candidate.requests:.0f} of the {analysis.min_requests} requests that it takes"
    allowed = analysis.error_rate + (stable.error_rate if stable else 0)
    seen = f"{candidate.error_rate:.2g} % errors"
    if candidate.error_rate > allowed:
        return Verdict.BAD, f"{seen}, and {allowed:.2g} % are allowed"
    if candidate.p95 is not None:
        seen += f", p95 {candidate.p95:.3g} s"
        if stable is not None and stable.p95 is not None and candidate.p95 > stable.p95 * analysis.latency:
            return Verdict.BAD, f"{seen}, and {stable.p95 * analysis.latency:.3g} s are allowed"
    return Verdict.GOOD, f"{candidate.requests:.0f} requests, {seen}"
