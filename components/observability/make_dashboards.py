"""Writes the dashboards: `python -m components.observability.make_dashboards` after a change, and commit the result.

The component reads the JSON files only, so that deploying needs no Grafana library.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import BigValueColorMode, BigValueGraphMode, StackingMode, VizOrientation
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from .common import ROOM

_SOURCE = model.DataSourceRef(type_val="prometheus", uid="prometheus")
_GREEN, _YELLOW, _RED = "green", "yellow", "red"

Panel = stat.Panel | timeseries.Panel | bargauge.Panel | table.Panel
Query = tuple[str, str]
"""A PromQL expression and its legend."""
Steps = Sequence[tuple[float | None, str]]
"""From which value on which colour."""


@dataclass(frozen=True)
class Column:
    """One column of a table: the value of its expression in each row."""

    name: str
    expression: str
    unit: str = "short"
    steps: Steps = ()
    words: Mapping[int, str] = field(default_factory=dict)
    """What is shown in place of a value."""


def _query(expression: str, legend: str = "") -> prometheus.Dataquery:
    query = prometheus.Dataquery().expr(re.sub(r"\s+", " ", expression).strip())
    return query.legend_format(legend) if legend else query


def _with_targets(panel: Panel, queries: Sequence[prometheus.Dataquery]) -> None:
    for index, query in enumerate(queries):
        panel.with_target(query.ref_id(chr(ord("A") + index)))


def _thresholds(*steps: tuple[float | None, str]) -> dashboard.ThresholdsConfig:
    return (
        dashboard.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value=value, color=color) for value, color in steps])
    )


def _number(
    title: str, expression: str, *steps: tuple[float | None, str], unit: str = "short", about: str = ""
) -> stat.Panel:
    """One number, coloured by `steps`."""
    panel = stat.Panel().title(title).description(about).datasource(_SOURCE).unit(unit).span(4).height(4)
    panel.thresholds(_thresholds(*(steps or ((None, _GREEN),)))).color_mode(BigValueColorMode.VALUE).graph_mode(
        BigValueGraphMode.NONE
    )
    _with_targets(panel, [_query(expression).instant()])
    return panel


def _lines(
    title: str, *queries: Query, unit: str = "short", about: str = "", stacked: bool = False
) -> timeseries.Panel:
    """Lines over time, one a series."""
    panel = timeseries.Panel().title(title).description(about).datasource(_SOURCE).unit(unit).min(0).span(8).height(8)
    panel.fill_opacity(10).tooltip(common.VizTooltipOptions())
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    _with_targets(panel, [_query(expression, legend) for expression, legend in queries])
    return panel


def _shares(title: str, expression: str, legend: str, about: str = "") -> bargauge.Panel:
    """Used shares, 0 to 1, as bars."""
    panel = bargauge.Panel().title(title).description(about).datasource(_SOURCE).unit("percentunit").min(0).max(1)
    panel.orientation(VizOrientation.HORIZONTAL).span(8).height(8)
    panel.thresholds(_thresholds(*_FILLS))
    _with_targets(panel, [_query(expression, legend).instant()])
    return panel


def _rows(title: str, expression: str, about: str = "") -> table.Panel:
    """A table with a row a series and a column a label."""
    panel = table.Panel().title(title).description(about).datasource(_SOURCE).span(24).height(7)
    _with_targets(panel, [_query(expression).instant().format(PromQueryFormat.TABLE)])
    hidden = {"Time": True, "Value": True, "__name__": True, "alertstate": True, "instance": True, "job": True}
    panel.with_transformation(model.DataTransformerConfig(id_val="organize", options={"excludeByName": hidden}))
    return panel


def _columns(title: str, key: str, *columns: Column, about: str = "") -> table.Panel:
    """A table with a row for each value of the label `key`, and a column for each query."""
    panel = table.Panel().title(title).description(about).datasource(_SOURCE).span(24).height(8)
    queries = [_query(column.expression).instant().format(PromQueryFormat.TABLE) for column in columns]
    _with_targets(panel, queries)
    # Rows of all queries with the same time and key become one.
    panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    names = {f"Value #{chr(ord('A') + index)}": column.name for index, column in enumerate(columns)}
    order = {name: index for index, name in enumerate([key, *names])}
    options = {"excludeByName": {"Time": True}, "renameByName": names, "indexByName": order}
    panel.with_transformation(model.DataTransformerConfig(id_val="organize", options=options))
    for column in columns:
        unit = model.DynamicConfigValue(id_val="unit", value=column.unit)
        steps = model.ThresholdsConfig(
            mode=model.ThresholdsMode.ABSOLUTE,
            steps=[model.Threshold(value=value, color=color) for value, color in column.steps or ((None, "text"),)],
        )
        cell = model.DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"})
        values = [unit, model.DynamicConfigValue(id_val="thresholds", value=steps), cell]
        if column.words:
            mapping = model.ValueMap(
                options={str(value): model.ValueMappingResult(text=text) for value, text in column.words.items()}
            )
            values.append(model.DynamicConfigValue(id_val="mappings", value=[mapping]))
        panel.override_by_name(column.name, values)
    return panel


def _dashboard(uid: str, title: str, about: str) -> dashboard.Dashboard:
    return (
        dashboard.Dashboard(f"Agent Stack: {title}")
        .uid(f"agentstack-{uid}")
        .description(about)
        .tags(["agentstack"])
        .readonly()
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Agent Stack")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags(["agentstack"])
            .keep_time(True)
        )
    )


def _add(board: dashboard.Dashboard, title: str, panels: Sequence[Builder[model.Panel]]) -> None:
    board.with_row(dashboard.Row(title))
    for panel in panels:
        board.with_panel(panel)


_BAD_ABOVE_ZERO = ((None, _GREEN), (1, _RED))
_BAD_BELOW_ONE = ((None, _RED), (1, _GREEN))
_FILLS = ((None, _GREEN), (0.8, _YELLOW), (0.9, _RED))


def platform() -> dashboard.Dashboard:
    """Is anything wrong, and is there room?"""
    board = _dashboard("platform", "Platform", "Is anything wrong, and is there room?")
    _add(
        board,
        "Now",
        [
            _number("Alerts firing", 'count(ALERTS{alertstate="firing"}) or vector(0)', *_BAD_ABOVE_ZERO),
            _number("Targets down", "count(up == 0) or vector(0)", *_BAD_ABOVE_ZERO),
            _number(
                "Pods not ready",
                """count(
                  max by (namespace, pod) (kube_pod_status_ready{condition="true"} == 0)
                  and on (namespace, pod)
                  max by (namespace, pod) (kube_pod_status_phase{phase=~"Pending|Running|Unknown"} == 1)
                ) or vector(0)""",
                *_BAD_ABOVE_ZERO,
            ),
            _number(
                "Restarts in the last hour",
                "sum(increase(kube_pod_container_status_restarts_total[1h])) or vector(0)",
                (None, _GREEN),
                (1, _YELLOW),
                (10, _RED),
            ),
            _number("Failed Jobs", 'sum(kube_job_failed{condition="true"}) or vector(0)', *_BAD_ABOVE_ZERO),
            _number("Pods running", 'sum(kube_pod_status_phase{phase="Running"})'),
            _rows("Alerts firing", 'ALERTS{alertstate="firing"}'),
        ],
    )
    _add(
        board,
        "Room",
        [
            _shares("Quota used", "namespace_resource:kube_resourcequota:ratio", "{{namespace}} {{resource}}"),
            _shares(
                "Volumes used",
                "1 - namespace_persistentvolumeclaim:kubelet_volume_stats_available:ratio",
                "{{namespace}} {{persistentvolumeclaim}}",
                about="Empty where the volume driver reports no usage.",
            ),
            _shares(
                "Nodes' disks used",
                """1 - min by (node, device) (
                  node_filesystem_avail_bytes{fstype!~"tmpfs|squashfs|iso9660"} / (node_filesystem_size_bytes > 0)
                )""",
                "{{node}} {{device}}",
            ),
        ],
    )
    _add(
        board,
        "Who uses it",
        [
            _lines(
                "CPU by part",
                ("namespace_app:container_cpu_usage_seconds:rate5m", "{{namespace}} {{app}}"),
                unit="cores",
                stacked=True,
            ),
            _lines(
                "Memory by part",
                ("namespace_app:container_memory_working_set_bytes:sum", "{{namespace}} {{app}}"),
                unit="bytes",
                stacked=True,
            ),
            _lines(
                "Restarts by pod",
                ("sum by (namespace, pod) (increase(kube_pod_container_status_restarts_total[10m])) > 0", "{{pod}}"),
                about="In the last 10 minutes.",
            ),
        ],
    )
    _add(
        board,
        "Nodes",
        [
            _lines(
                "CPU used",
                ('1 - avg by (node) (rate(node_cpu_seconds_total{mode="idle"}[$__rate_interval]))', "{{node}}"),
                unit="percentunit",
            ),
            _lines(
                "Memory used",
                (
                    "1 - max by (node) (node_memory_MemAvailable_bytes) / max by (node) (node_memory_MemTotal_bytes)",
                    "{{node}}",
                ),
                unit="percentunit",
            ),
            _lines(
                "Disk busy",
                ("max by (node) (rate(node_disk_io_time_seconds_total[$__rate_interval]))", "{{node}}"),
                unit="percentunit",
            ),
        ],
    )
    _add(
        board,
        "Monitoring itself",
        [
            _lines("Series in memory", ("max(prometheus_tsdb_head_series)", "series")),
            _lines(
                "Storage used",
                (
                    "max(prometheus_tsdb_storage_blocks_bytes + prometheus_tsdb_wal_storage_size_bytes)",
                    "blocks and log",
                ),
                ("max(prometheus_tsdb_retention_limit_bytes)", "limit"),
                unit="bytes",
            ),
            _lines(
                "Failures",
                ("sum(increase(prometheus_rule_evaluation_failures_total[5m]))", "rules"),
                ("sum(increase(prometheus_notifications_errors_total[5m]))", "to Alertmanager"),
                ("sum(increase(alertmanager_notifications_failed_total[5m]))", "from Alertmanager"),
            ),
        ],
    )
    return board


def agents() -> dashboard.Dashboard:
    """What does each agent do, and what holds it back?"""
    board = _dashboard("agents", "Agents", "What does each agent do, and what holds it back?")
    board.with_variable(
        dashboard.QueryVariable("agent")
        .label("Agent")
        .datasource(_SOURCE)
        .query('label_values(agentstack:pod:info{component="agent"}, app)')
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".+")
    )
    mine = 'component="agent", app=~"$agent"'
    pods = f"on (namespace, pod) group_left (app) agentstack:pod:info{{{mine}}}"

    def per_agent(expression: str) -> str:
        return f"sum by (app) ({expression} * {pods})"

    _add(
        board,
        "Replicas",
        [
            _lines(
                "Pods",
                (per_agent('max by (namespace, pod) (kube_pod_status_ready{condition="true"})'), "{{app}} ready"),
                (f"count by (app) (agentstack:pod:info{{{mine}}})", "{{app}} all"),
            ),
            _lines(
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
            _lines(
                "Restarts",
                (
                    per_agent("sum by (namespace, pod) (increase(kube_pod_container_status_restarts_total[10m]))"),
                    "{{app}}",
                ),
                about="In the last 10 minutes.",
            ),
        ],
    )
    _add(
        board,
        "Work",
        [
            _lines(
                "Messages not yet read",
                (
                    'sum by (consumergroup, topic) (kafka_consumergroup_lag_sum{consumergroup=~"$agent"})',
                    "{{consumergroup}} {{topic}}",
                ),
                about="The lag of each agent's consumer group, which bears its name.",
            ),
            _lines(
                "Messages read",
                (
                    """sum by (consumergroup, topic) (
                      rate(kafka_consumergroup_current_offset_sum{consumergroup=~"$agent"}[$__rate_interval])
                    )""",
                    "{{consumergroup}} {{topic}}",
                ),
                unit="mps",
            ),
            _lines(
                "Metrics can be read",
                (f"min by (app) (up{{{mine}}})", "{{app}}"),
                about="0 where Prometheus cannot scrape at least one pod.",
            ),
        ],
    )
    _add(
        board,
        "Resources",
        [
            _lines(
                "CPU",
                (f"sum by (app) (namespace_app:container_cpu_usage_seconds:rate5m{{{mine}}})", "{{app}} used"),
                (
                    per_agent('sum by (namespace, pod) (kube_pod_container_resource_requests{resource="cpu"})'),
                    "{{app}} requested",
                ),
                unit="cores",
            ),
            _lines(
                "Memory",
                (f"sum by (app) (namespace_app:container_memory_working_set_bytes:sum{{{mine}}})", "{{app}} used"),
                (
                    per_agent('sum by (namespace, pod) (kube_pod_container_resource_limits{resource="memory"})'),
                    "{{app}} limit",
                ),
                unit="bytes",
            ),
            _lines(
                "CPU throttled",
                (
                    f"""max by (app) (
                      max by (namespace, pod) (
                        rate(container_cpu_cfs_throttled_periods_total{{container="", image=""}}[$__rate_interval])
                        / rate(container_cpu_cfs_periods_total{{container="", image=""}}[$__rate_interval])
                      ) * {pods}
                    )""",
                    "{{app}}",
                ),
                unit="percentunit",
                about="Share of periods in which the worst pod reached its CPU limit.",
            ),
        ],
    )
    return board


def data() -> dashboard.Dashboard:
    """Redis and Kafka: is the data safe, and do they keep up?"""
    board = _dashboard("data", "Data", "Redis and Kafka: is the data safe, and do they keep up?")
    _add(
        board,
        "Alerts",
        [
            _rows(
                "Alerts firing on data",
                'ALERTS{alertstate="firing", alertname=~"Redis.+|Kafka.+|Volume.+"}',
                about="What each means and what to do: docs/alerts.md.",
            )
        ],
    )
    _add(
        board,
        "Redis now",
        [
            _number("Nodes down", "count(redis_up == 0) or vector(0)", *_BAD_ABOVE_ZERO),
            _number(
                "Cluster whole",
                'max(kube_deployment_status_replicas_available{deployment="redis-keeper"})',
                *_BAD_BELOW_ONE,
                about="1 while redis-keeper is ready: every node known, every slot served, every replica in its place.",
            ),
            _number("Slots served", "min(redis_cluster_slots_ok)", (None, _RED), (16384, _GREEN)),
            _number("Masters with slots", "max(redis_cluster_size)", (None, _RED), (3, _GREEN)),
            _number(
                "Keys evicted in the last hour",
                "sum(increase(redis_evicted_keys_total[1h])) or vector(0)",
                *_BAD_ABOVE_ZERO,
            ),
            _number(
                "Since the last good backup",
                'time() - max(kube_cronjob_status_last_successful_time{cronjob="redis-backup"})',
                unit="s",
                about="Empty where no backup is declared or none has succeeded yet.",
            ),
            _columns(
                "Nodes",
                "pod",
                Column(
                    "Role",
                    'max by (pod) (redis_instance_info{role="master"}) or 0 * max by (pod) (redis_instance_info)',
                    words={1: "master", 0: "replica"},
                ),
                Column(
                    "Link to master",
                    "max by (pod) (redis_master_link_up)",
                    "short",
                    _BAD_BELOW_ONE,
                    {1: "up", 0: "down"},
                ),
                Column(
                    "Replicas in step",
                    """count by (pod) (redis_connected_slave_lag_seconds{slave_state="online"} <= 10)
                    or 0 * max by (pod) (redis_instance_info{role="master"})""",
                ),
                Column(
                    "Memory of maxmemory",
                    "max by (pod) (redis_memory_used_bytes / (redis_memory_max_bytes > 0))",
                    "percentunit",
                    _FILLS,
                ),
                Column("Keys", "sum by (pod) (redis_db_keys)"),
                Column("... without expiry", "sum by (pod) (redis_db_keys - redis_db_keys_expiring)"),
                Column(
                    "Evicted in the last hour",
                    "sum by (pod) (increase(redis_evicted_keys_total[1h]))",
                    "short",
                    _BAD_ABOVE_ZERO,
                ),
                Column(
                    "Last write to volume",
                    "min by (pod) (redis_aof_last_write_status)",
                    "short",
                    _BAD_BELOW_ONE,
                    {1: "ok", 0: "failed"},
                ),
                Column(
                    "Last rewrite",
                    "min by (pod) (redis_aof_last_bgrewrite_status)",
                    "short",
                    _BAD_BELOW_ONE,
                    {1: "ok", 0: "failed"},
                ),
                Column(
                    "Clients of maxclients",
                    "max by (pod) (redis_connected_clients / redis_max_clients)",
                    "percentunit",
                    _FILLS,
                ),
            ),
        ],
    )
    _add(
        board,
        "Redis",
        [
            _lines(
                "Memory used of maxmemory",
                ("max by (pod) (redis_memory_used_bytes / (redis_memory_max_bytes > 0))", "{{pod}}"),
                unit="percentunit",
            ),
            _lines(
                "Commands",
                ("sum by (pod) (rate(redis_commands_processed_total[$__rate_interval]))", "{{pod}}"),
                unit="ops",
            ),
            _lines(
                "Clients",
                ("sum by (pod) (redis_connected_clients)", "{{pod}}"),
                ("sum by (pod) (increase(redis_rejected_connections_total[$__rate_interval])) > 0", "{{pod}} rejected"),
            ),
            _lines(
                "Keys",
                (
                    'sum(redis_db_keys and on (namespace, pod) redis_instance_info{role="master"})',
                    "all",
                ),
                ("namespace:redis_keys_without_expiry:sum", "without expiry"),
                about="Of the masters.",
            ),
            _lines(
                "Commands refused",
                ("sum by (err) (rate(redis_errors_total[$__rate_interval])) > 0", "{{err}}"),
                unit="ops",
                about="OOM: memory is full. MISCONF: the volume. NOREPLICAS: too few are in step. MOVED: no fault.",
            ),
            _lines(
                "Keys evicted",
                ("sum by (pod) (increase(redis_evicted_keys_total[$__rate_interval])) > 0", "{{pod}}"),
                about="Lost before their time to live.",
            ),
            _lines(
                "Hit rate",
                (
                    """sum(rate(redis_keyspace_hits_total[$__rate_interval])) / (
                      sum(rate(redis_keyspace_hits_total[$__rate_interval]))
                      + sum(rate(redis_keyspace_misses_total[$__rate_interval])) > 0
                    )""",
                    "hits",
                ),
                unit="percentunit",
            ),
            _lines(
                "Replication lag",
                ("max by (pod) (redis_connected_slave_lag_seconds)", "{{pod}}"),
                unit="s",
                about="Of the slowest replica of each master.",
            ),
            _lines(
                "Append-only file",
                ("max by (pod) (redis_aof_current_size_bytes)", "{{pod}}"),
                unit="bytes",
                about="It is rewritten when it has doubled.",
            ),
        ],
    )
    _add(
        board,
        "Kafka now",
        [
            _number("Brokers", "max(kafka_brokers)"),
            _number(
                "Brokers declared",
                'sum(max by (namespace, statefulset) (kube_statefulset_replicas{statefulset=~"kafka|kafka-broker"}))',
            ),
            _number(
                "Controllers ready, of all",
                'sum(kube_statefulset_status_replicas_ready{statefulset="kafka-controller"})'
                ' / sum(kube_statefulset_replicas{statefulset="kafka-controller"})',
                (None, _RED),
                (0.5001, _YELLOW),
                (1, _GREEN),
                unit="percentunit",
                about="Up to one half, they have no majority. Empty for a combined Kafka, which is its own controller.",
            ),
            _number(
                "Under-replicated partitions",
                "sum(kafka_topic_partition_under_replicated_partition)",
                *_BAD_ABOVE_ZERO,
            ),
            _number(
                "Partitions without leader",
                "sum(kafka_topic_partitions) - (count(kafka_topic_partition_leader >= 0) or vector(0))",
                *_BAD_ABOVE_ZERO,
            ),
            _number(
                "Exporter answers",
                'min(up{app="kafka-exporter"})',
                *_BAD_BELOW_ONE,
                about="0: what is shown of Kafka is old. It answers too late where many partitions have no leader.",
            ),
            _columns(
                "Topics",
                "topic",
                Column("Partitions", "sum by (topic) (kafka_topic_partitions)"),
                Column("Copies", "max by (topic) (kafka_topic_partition_replicas)"),
                Column(
                    "Under-replicated",
                    "sum by (topic) (kafka_topic_partition_under_replicated_partition)",
                    "short",
                    _BAD_ABOVE_ZERO,
                ),
                Column(
                    "Two or more copies missing",
                    """count by (topic) (kafka_topic_partition_in_sync_replica < kafka_topic_partition_replicas - 1)
                    or 0 * sum by (topic) (kafka_topic_partitions)""",
                    "short",
                    _BAD_ABOVE_ZERO,
                ),
                Column(
                    "Without leader",
                    """sum by (topic) (kafka_topic_partitions) - (
                      count by (topic) (kafka_topic_partition_leader >= 0)
                      or 0 * sum by (topic) (kafka_topic_partitions)
                    )""",
                    "short",
                    _BAD_ABOVE_ZERO,
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
            ),
        ],
    )
    _add(
        board,
        "Kafka",
        [
            _lines(
                "Messages written",
                (
                    """sum by (topic) (
                      rate(kafka_topic_partition_current_offset{topic!~"__.+"}[$__rate_interval])
                    )""",
                    "{{topic}}",
                ),
                unit="mps",
            ),
            _lines(
                "Messages not yet read",
                ("sum by (consumergroup, topic) (kafka_consumergroup_lag_sum)", "{{consumergroup}} {{topic}}"),
            ),
            _lines(
                "Copies not in step",
                (
                    """sum by (topic) (kafka_topic_partition_replicas - kafka_topic_partition_in_sync_replica) > 0""",
                    "{{topic}}",
                ),
                about="Falls while a broker catches up.",
            ),
        ],
    )
    _add(
        board,
        "Volumes",
        [
            _shares(
                "Volumes used",
                """1 - namespace_persistentvolumeclaim:kubelet_volume_stats_available:ratio{
                  persistentvolumeclaim=~".*(redis|kafka).*"
                }""",
                "{{persistentvolumeclaim}}",
                about="Empty where the volume driver reports no usage.",
            ),
            _lines(
                "Days until full",
                (
                    """max by (persistentvolumeclaim) (
                      kubelet_volume_stats_available_bytes{persistentvolumeclaim=~".*(redis|kafka).*"}
                    ) / (
                      max by (persistentvolumeclaim) (
                        -deriv(kubelet_volume_stats_available_bytes{persistentvolumeclaim=~".*(redis|kafka).*"}[6h])
                      ) > 0
                    ) / 86400 < 30""",
                    "{{persistentvolumeclaim}}",
                ),
                about="As it went in the last six hours; those of less than a month.",
            ),
            _lines(
                "CPU",
                ('namespace_app:container_cpu_usage_seconds:rate5m{app=~"redis|kafka.*"}', "{{app}} {{component}}"),
                unit="cores",
            ),
            _lines(
                "Memory",
                ('namespace_app:container_memory_working_set_bytes:sum{app=~"redis|kafka.*"}', "{{app}} {{component}}"),
                unit="bytes",
            ),
        ],
    )
    return board


def files() -> dict[str, str]:
    """Return the dashboards as JSON by file name."""
    texts = {}
    for builder in (agents(), data(), platform()):
        board = builder.build()
        # Links to a panel name its number.
        for number, panel in enumerate(board.panels or [], start=1):
            panel.id_val = number
        name = str(board.uid).removeprefix("agentstack-")
        texts[f"{name}.json"] = json.dumps(board, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
    return texts


if __name__ == "__main__":
    for name, text in files().items():
        (ROOM / "dashboards" / name).write_text(text)
