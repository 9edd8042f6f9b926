"""Kafka: is the data safe, and does it keep up?"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from components.observability.panels import (
    BAD_ABOVE_ZERO,
    BAD_BELOW_ONE,
    GREEN,
    RED,
    YELLOW,
    Column,
    Panel,
    Row,
    alerts,
    board,
    columns,
    lines,
    number,
    resources,
)


def dashboard() -> Dashboard:
    """Is the data safe, and does it keep up?"""
    return board(
        "Kafka",
        "Kafka: is the data safe, and does it keep up?",
        alerts("Kafka.+", claims=".*kafka.*"),
        _now(),
        _over_time(),
        resources(claims=".*kafka.*", apps="kafka.*"),
    )


def _now() -> Row:
    return Row(
        "Now",
        [
            number("Brokers", "max(kafka_brokers)"),
            number(
                "Brokers declared",
                'sum(max by (namespace, statefulset) (kube_statefulset_replicas{statefulset=~"kafka|kafka-broker"}))',
            ),
            number(
                "Controllers ready, of all",
                'sum(kube_statefulset_status_replicas_ready{statefulset="kafka-controller"})'
                ' / sum(kube_statefulset_replicas{statefulset="kafka-controller"})',
                (None, RED),
                (0.5001, YELLOW),
                (1, GREEN),
                unit="percentunit",
                about="Up to one half, they have no majority. Empty for a combined Kafka, which is its own controller.",
            ),
            number(
                "Under-replicated partitions",
                "sum(kafka_topic_partition_under_replicated_partition)",
                *BAD_ABOVE_ZERO,
            ),
            number(
                "Partitions without leader",
                "sum(kafka_topic_partitions) - (count(kafka_topic_partition_leader >= 0) or vector(0))",
                *BAD_ABOVE_ZERO,
            ),
            number(
                "Exporter answers",
                'min(up{app="kafka-exporter"})',
                *BAD_BELOW_ONE,
                about="0: what is shown of Kafka is old. It answers too late where many partitions have no leader.",
            ),
            _topics(),
        ],
    )


def _topics() -> Panel:
    return columns(
        "Topics",
        "topic",
        Column("Partitions", "sum by (topic) (kafka_topic_partitions)"),
        Column("Copies", "max by (topic) (kafka_topic_partition_replicas)"),
        Column(
            "Under-replicated",
            "sum by (topic) (kafka_topic_partition_under_replicated_partition)",
            "short",
            BAD_ABOVE_ZERO,
        ),
        Column(
            "Two or more copies missing",
            """count by (topic) (kafka_topic_partition_in_sync_replica < kafka_topic_partition_replicas - 1)
            or 0 * sum by (topic) (kafka_topic_partitions)""",
            "short",
            BAD_ABOVE_ZERO,
        ),
        Column(
            "Without leader",
            """sum by (topic) (kafka_topic_partitions) - (
              count by (topic) (kafka_topic_partition_leader >= 0)
              or 0 * sum by (topic) (kafka_topic_partitions)
            )""",
            "short",
            BAD_ABOVE_ZERO,
        ),
        Column(
            "Largest lag of a group",
            "max by (topic) (sum by (topic, consumergroup) (kafka_consumergroup_lag_sum))",
        ),
        Column(
            "Messages kept",
            "sum by (topic) (kafka_topic_partition_current_offset - kafka_topic_partition_oldest_offset)",
        ),
        Column("Written per second", "sum by (topic) (rate(kafka_topic_partition_current_offset[5m]))", "mps"),
    )


def _over_time() -> Row:
    return Row(
        "Over time",
        [
            lines(
                "Messages written",
                (
                    """sum by (topic) (
                      rate(kafka_topic_partition_current_offset{topic!~"__.+"}[$__rate_interval])
                    )""",
                    "{{topic}}",
                ),
                unit="mps",
            ),
            lines(
                "Messages not yet read",
                ("sum by (consumergroup, topic) (kafka_consumergroup_lag_sum)", "{{consumergroup}} {{topic}}"),
            ),
            lines(
                "Copies not in step",
                (
                    """sum by (topic) (kafka_topic_partition_replicas - kafka_topic_partition_in_sync_replica) > 0""",
                    "{{topic}}",
                ),
                about="Falls while a broker catches up.",
            ),
        ],
    )
