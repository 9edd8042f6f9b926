"""The rates for those who ask: JSON by HTTP, and metrics."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agentstack_runtime.state import Unavailable
from agentstack_services.problems import HANDLERS, busy

from .rates import HALF_LIFE, Rate, WorkflowRates
from .service import Learner

INTERVAL: Final = 15.0
"""Seconds between two readings for the metrics: as often as Prometheus asks."""
_LABELS: Final = ("workflow", "step")


def application(learner: Learner) -> Starlette:
    """Return the HTTP side: `GET /rates`, nothing else."""

    async def rates(request: Request) -> Response:
        try:
            known = await learner.rates()
        except Unavailable:
            return busy("Redis does not answer", retry_after=5)
        workflows = {name: _workflow(record) for name, record in known.items()}
        return JSONResponse({"halfLife": HALF_LIFE, "workflows": workflows})

    return Starlette(routes=[Route("/rates", rates, methods=["GET"])], exception_handlers=dict(HANDLERS))


class Metrics:
    """What Prometheus is told, the same by every replica; `step` is empty for the workflow as a whole.

    A workflow that is forgotten vanishes. Alert on one replica's word: `max by (workflow, step)`.
    """

    def __init__(self, learner: Learner, registry: CollectorRegistry = REGISTRY) -> None:
        self._learner = learner
        self._known: Mapping[str, WorkflowRates] = {}
        registry.register(self)

    async def refresh(self) -> None:
        """Read the rates.

        Raises:
            Unavailable: Redis does not answer.
        """
        self._known = await self._learner.rates()

    async def run(self) -> NoReturn:
        """Read the rates again and again; those before stay while Redis does not answer."""
        while True:
            with contextlib.suppress(Unavailable):
                await self.refresh()
            await asyncio.sleep(INTERVAL)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; prometheus_client asks for them."""
        ratio = GaugeMetricFamily(
            "agentstack_workflow_success_ratio", "Completed of all that were not cancelled.", labels=_LABELS
        )
        recent = GaugeMetricFamily(
            "agentstack_workflow_recent_success_ratio",
            f"The same; a result counts half after {HALF_LIFE} more.",
            labels=_LABELS,
        )
        mean = GaugeMetricFamily(
            "agentstack_workflow_duration_seconds", "Mean duration of those that completed.", labels=_LABELS
        )
        deviation = GaugeMetricFamily(
            "agentstack_workflow_duration_stddev_seconds", "Standard deviation of the same.", labels=_LABELS
        )
        ended = CounterMetricFamily(
            "agentstack_workflow_ended", "What ended, by outcome.", labels=(*_LABELS, "outcome")
        )
        for workflow, record in self._known.items():
            for step, rate in (("", record.workflow), *record.steps.items()):
                labels = (workflow, step)
                for outcome in ("completed", "failed", "canceled"):
                    ended.add_metric((*labels, outcome), getattr(rate, outcome))
                if rate.success_rate is not None and rate.recent_success_rate is not None:
                    ratio.add_metric(labels, rate.success_rate)
                    recent.add_metric(labels, rate.recent_success_rate)
                if rate.completed:
                    mean.add_metric(labels, rate.mean)
                if rate.variance is not None:
                    deviation.add_metric(labels, math.sqrt(rate.variance))
        yield from (ratio, recent, mean, deviation, ended)


def _workflow(record: WorkflowRates) -> dict[str, Any]:
    return {**_rate(record.workflow), "steps": {name: _rate(rate) for name, rate in record.steps.items()}}


def _rate(rate: Rate) -> dict[str, Any]:
    return {
        "count": rate.count,
        "completed": rate.completed,
        "failed": rate.failed,
        "canceled": rate.canceled,
        "successRate": rate.success_rate,
        "recentSuccessRate": rate.recent_success_rate,
        "durationSeconds": {"mean": rate.mean if rate.completed else None, "variance": rate.variance},
    }
