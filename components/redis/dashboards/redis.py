"""Redis: is the data safe, and does it keep up?"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from components.observability.panels import (
    BAD_ABOVE_ZERO,
    BAD_BELOW_ONE,
    FILLS,
    GREEN,
    RED,
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
        "Redis",
        "Redis: is the data safe, and does it keep up?",
        alerts("Redis.+", claims=".*redis.*"),
        _now(),
        _over_time(),
        resources(claims=".*redis.*", apps="redis"),
    )


def _now() -> Row:
    return Row(
        "Now",
        [
            number("Nodes down", "count(redis_up == 0) or vector(0)", *BAD_ABOVE_ZERO),
            number(
                "Cluster whole",
                'max(kube_deployment_status_replicas_available{deployment="redis-keeper"})',
                *BAD_BELOW_ONE,
                about="1 while redis-keeper is ready: every node known, every slot served, every replica in its place.",
            ),
            number("Slots served", "min(redis_cluster_slots_ok)", (None, RED), (16384, GREEN)),
            number("Masters with slots", "max(redis_cluster_size)", (None, RED), (3, GREEN)),
            number(
                "Keys evicted in the last hour",
                "sum(increase(redis_evicted_keys_total[1h])) or vector(0)",
                *BAD_ABOVE_ZERO,
            ),
            number(
                "Since the last good backup",
                'time() - max(kube_cronjob_status_last_successful_time{cronjob="redis-backup"})',
                unit="s",
                about="Empty where no backup is declared or none has succeeded yet.",
            ),
            _nodes(),
        ],
    )


def _nodes() -> Panel:
    return columns(
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
            BAD_BELOW_ONE,
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
            FILLS,
        ),
        Column("Keys", "sum by (pod) (redis_db_keys)"),
        Column("... without expiry", "sum by (pod) (redis_db_keys - redis_db_keys_expiring)"),
        Column(
            "Evicted in the last hour",
            "sum by (pod) (increase(redis_evicted_keys_total[1h]))",
            "short",
            BAD_ABOVE_ZERO,
        ),
        Column(
            "Last write to volume",
            "min by (pod) (redis_aof_last_write_status)",
            "short",
            BAD_BELOW_ONE,
            {1: "ok", 0: "failed"},
        ),
        Column(
            "Last rewrite",
            "min by (pod) (redis_aof_last_bgrewrite_status)",
            "short",
            BAD_BELOW_ONE,
            {1: "ok", 0: "failed"},
        ),
        Column(
            "Clients of maxclients",
            "max by (pod) (redis_connected_clients / redis_max_clients)",
            "percentunit",
            FILLS,
        ),
    )


def _over_time() -> Row:
    return Row(
        "Over time",
        [
            lines(
                "Memory used of maxmemory",
                ("max by (pod) (redis_memory_used_bytes / (redis_memory_max_bytes > 0))", "{{pod}}"),
                unit="percentunit",
            ),
            lines(
                "Commands",
                ("sum by (pod) (rate(redis_commands_processed_total[$__rate_interval]))", "{{pod}}"),
                unit="ops",
            ),
            lines(
                "Clients",
                ("sum by (pod) (redis_connected_clients)", "{{pod}}"),
                ("sum by (pod) (increase(redis_rejected_connections_total[$__rate_interval])) > 0", "{{pod}} rejected"),
            ),
            lines(
                "Keys",
                (
                    'sum(redis_db_keys and on (namespace, pod) redis_instance_info{role="master"})',
                    "all",
                ),
                ("namespace:redis_keys_without_expiry:sum", "without expiry"),
                about="Of the masters.",
            ),
            lines(
                "Commands refused",
                ("sum by (err) (rate(redis_errors_total[$__rate_interval])) > 0", "{{err}}"),
                unit="ops",
                about="OOM: memory is full. MISCONF: the volume. NOREPLICAS: too few are in step. MOVED: no fault.",
            ),
            lines(
                "Keys evicted",
                ("sum by (pod) (increase(redis_evicted_keys_total[$__rate_interval])) > 0", "{{pod}}"),
                about="Lost before their time to live.",
            ),
            lines(
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
            lines(
                "Replication lag",
                ("max by (pod) (redis_connected_slave_lag_seconds)", "{{pod}}"),
                unit="s",
                about="Of the slowest replica of each master.",
            ),
            lines(
                "Append-only file",
                ("max by (pod) (redis_aof_current_size_bytes)", "{{pod}}"),
                unit="bytes",
                about="It is rewritten when it has doubled.",
            ),
        ],
    )
