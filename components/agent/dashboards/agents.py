"""Agents: what does each of them do, and what holds it back?"""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard, QueryVariable
from grafana_foundation_sdk.models.dashboard import VariableRefresh, VariableSort

from components.observability.panels import SOURCE, Row, board, lines

_MINE: Final = 'component="agent", app=~"$agent"'
_PODS: Final = f"on (namespace, pod) group_left (app) agentstack:pod:info{{{_MINE}}}"


def dashboard() -> Dashboard:
    """What does each agent do, and what holds it back?"""
    about = "What does each agent do, and what holds it back?"
    agent = (
        QueryVariable("agent")
        .label("Agent")
        .datasource(SOURCE)
        .query('label_values(agentstack:pod:info{component="agent"}, app)')
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".+")
    )
    return board("Agents", about, _replicas(), _work(), _resources()).with_variable(agent)


def _per_agent(expression: str) -> str:
    return f"sum by (app) ({expression} * {_PODS})"


def _replicas() -> Row:
    return Row(
        "Replicas",
        [
            lines(
                "Pods",
                (_per_agent('max by (namespace, pod) (kube_pod_status_ready{condition="true"})'), "{{app}} ready"),
                (f"count by (app) (agentstack:pod:info{{{_MINE}}})", "{{app}} all"),
            ),
            lines(
                "Autoscaler",
                (
                    """max by (horizontalpodautoscaler) (
                      kube_horizontalpodautoscaler_status_desired_replicas{horizontalpodautoscaler=~"(keda-hpa-)?($agent)(-canary|-green)?"}
                    )""",
                    "{{horizontalpodautoscaler}} desired",
                ),
                (
                    """max by (horizontalpodautoscaler) (
                      kube_horizontalpodautoscaler_spec_max_replicas{horizontalpodautoscaler=~"(keda-hpa-)?($agent)(-canary|-green)?"}
                    )""",
                    "{{horizontalpodautoscaler}} maximum",
                ),
            ),
            lines(
                "Restarts",
                (
                    _per_agent("sum by (namespace, pod) (increase(kube_pod_container_status_restarts_total[10m]))"),
                    "{{app}}",
                ),
                about="In the last 10 minutes.",
            ),
        ],
    )


def _work() -> Row:
    return Row(
        "Work",
        [
            lines(
                "Messages not yet read",
                (
                    'sum by (consumergroup, topic) (kafka_consumergroup_lag_sum{consumergroup=~"$agent"})',
                    "{{consumergroup}} {{topic}}",
                ),
                about="The lag of each agent's consumer group, which bears its name.",
            ),
            lines(
                "Messages read",
                (
                    """sum by (consumergroup, topic) (
                      rate(kafka_consumergroup_current_offset_sum{consumergroup=~"$agent"}[$__rate_interval])
                    )""",
                    "{{consumergroup}} {{topic}}",
                ),
                unit="mps",
            ),
            lines(
                "Metrics can be read",
                (f"min by (app) (up{{{_MINE}}})", "{{app}}"),
                about="0 where Prometheus cannot scrape at least one pod.",
            ),
        ],
    )


def _resources() -> Row:
    return Row(
        "Resources",
        [
            lines(
                "CPU",
                (f"sum by (app) (namespace_app:container_cpu_usage_seconds:rate5m{{{_MINE}}})", "{{app}} used"),
                (
                    _per_agent('sum by (namespace, pod) (kube_pod_container_resource_requests{resource="cpu"})'),
                    "{{app}} requested",
                ),
                unit="cores",
            ),
            lines(
                "Memory",
                (f"sum by (app) (namespace_app:container_memory_working_set_bytes:sum{{{_MINE}}})", "{{app}} used"),
                (
                    _per_agent('sum by (namespace, pod) (kube_pod_container_resource_limits{resource="memory"})'),
                    "{{app}} limit",
                ),
                unit="bytes",
            ),
            lines(
                "CPU throttled",
                (
                    f"""max by (app) (
                      max by (namespace, pod) (
                        rate(container_cpu_cfs_throttled_periods_total{{container="", image=""}}[$__rate_interval])
                        / rate(container_cpu_cfs_periods_total{{container="", image=""}}[$__rate_interval])
                      ) * {_PODS}
                    )""",
                    "{{app}}",
                ),
                unit="percentunit",
                about="Share of periods in which the worst pod reached its CPU limit.",
            ),
        ],
    )
