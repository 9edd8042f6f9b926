"""The platform as a whole: is anything wrong, and is there room?"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from components.observability.panels import (
    BAD_ABOVE_ZERO,
    GREEN,
    RED,
    YELLOW,
    Row,
    board,
    lines,
    number,
    series,
    shares,
)


def dashboard() -> Dashboard:
    """Is anything wrong, and is there room?"""
    return board(
        "Platform",
        "Is anything wrong, and is there room?",
        _now(),
        _room(),
        _users(),
        _nodes(),
        _monitoring(),
    )


def _now() -> Row:
    return Row(
        "Now",
        [
            number("Alerts firing", 'count(ALERTS{alertstate="firing"}) or vector(0)', *BAD_ABOVE_ZERO),
            number("Targets down", "count(up == 0) or vector(0)", *BAD_ABOVE_ZERO),
            number(
                "Pods not ready",
                """count(
                  max by (namespace, pod) (kube_pod_status_ready{condition="true"} == 0)
                  and on (namespace, pod)
                  max by (namespace, pod) (kube_pod_status_phase{phase=~"Pending|Running|Unknown"} == 1)
                ) or vector(0)""",
                *BAD_ABOVE_ZERO,
            ),
            number(
                "Restarts in the last hour",
                "sum(increase(kube_pod_container_status_restarts_total[1h])) or vector(0)",
                (None, GREEN),
                (1, YELLOW),
                (10, RED),
            ),
            number("Failed Jobs", 'sum(kube_job_failed{condition="true"}) or vector(0)', *BAD_ABOVE_ZERO),
            number("Pods running", 'sum(kube_pod_status_phase{phase="Running"})'),
            series("Alerts firing", 'ALERTS{alertstate="firing"}'),
        ],
    )


def _room() -> Row:
    return Row(
        "Room",
        [
            shares("Quota used", "namespace_resource:kube_resourcequota:ratio", "{{namespace}} {{resource}}"),
            shares(
                "Volumes used",
                "1 - namespace_persistentvolumeclaim:kubelet_volume_stats_available:ratio",
                "{{namespace}} {{persistentvolumeclaim}}",
                about="Empty where the volume driver reports no usage.",
            ),
            shares(
                "Nodes' disks used",
                """1 - min by (node, device) (
                  node_filesystem_avail_bytes{fstype!~"tmpfs|squashfs|iso9660"} / (node_filesystem_size_bytes > 0)
                )""",
                "{{node}} {{device}}",
            ),
        ],
    )


def _users() -> Row:
    return Row(
        "Who uses it",
        [
            lines(
                "CPU by part",
                ("namespace_app:container_cpu_usage_seconds:rate5m", "{{namespace}} {{app}}"),
                unit="cores",
                stacked=True,
            ),
            lines(
                "Memory by part",
                ("namespace_app:container_memory_working_set_bytes:sum", "{{namespace}} {{app}}"),
                unit="bytes",
                stacked=True,
            ),
            lines(
                "Restarts by pod",
                ("sum by (namespace, pod) (increase(kube_pod_container_status_restarts_total[10m])) > 0", "{{pod}}"),
                about="In the last 10 minutes.",
            ),
        ],
    )


def _nodes() -> Row:
    return Row(
        "Nodes",
        [
            lines(
                "CPU used",
                ('1 - avg by (node) (rate(node_cpu_seconds_total{mode="idle"}[$__rate_interval]))', "{{node}}"),
                unit="percentunit",
            ),
            lines(
                "Memory used",
                (
                    "1 - max by (node) (node_memory_MemAvailable_bytes) / max by (node) (node_memory_MemTotal_bytes)",
                    "{{node}}",
                ),
                unit="percentunit",
            ),
            lines(
                "Disk busy",
                ("max by (node) (rate(node_disk_io_time_seconds_total[$__rate_interval]))", "{{node}}"),
                unit="percentunit",
            ),
        ],
    )


def _monitoring() -> Row:
    return Row(
        "Monitoring itself",
        [
            lines("Series in memory", ("max(prometheus_tsdb_head_series)", "series")),
            lines(
                "Storage used",
                (
                    "max(prometheus_tsdb_storage_blocks_bytes + prometheus_tsdb_wal_storage_size_bytes)",
                    "blocks and log",
                ),
                ("max(prometheus_tsdb_retention_limit_bytes)", "limit"),
                unit="bytes",
            ),
            lines(
                "Failures",
                ("sum(increase(prometheus_rule_evaluation_failures_total[5m]))", "rules"),
                ("sum(increase(prometheus_notifications_errors_total[5m]))", "to Alertmanager"),
                ("sum(increase(alertmanager_notifications_failed_total[5m]))", "from Alertmanager"),
            ),
        ],
    )
