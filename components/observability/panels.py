"""What dashboards are made of: panels with the look that all of them share, rows of panels, and the board itself.

A dashboard is a module `dashboards/NAME.py` of the part that it shows, with a function `dashboard`; `make_dashboards`
writes `dashboards/NAME.json` from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import BigValueColorMode, BigValueGraphMode, StackingMode, VizOrientation
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE: Final = model.DataSourceRef(type_val="prometheus", uid="prometheus")
GREEN, YELLOW, RED = "green", "yellow", "red"

Panel = stat.Panel | timeseries.Panel | bargauge.Panel | table.Panel
Query = tuple[str, str]
"""A PromQL expression and its legend."""
Steps = Sequence[tuple[float | None, str]]
"""From which value on which colour."""

BAD_ABOVE_ZERO: Final[Steps] = ((None, GREEN), (1, RED))
BAD_BELOW_ONE: Final[Steps] = ((None, RED), (1, GREEN))
FILLS: Final[Steps] = ((None, GREEN), (0.8, YELLOW), (0.9, RED))


@dataclass(frozen=True)
class Column:
    """One column of a table: the value of its expression in each row."""

    name: str
    expression: str
    unit: str = "short"
    steps: Steps = ()
    words: Mapping[int, str] = field(default_factory=dict)
    """What is shown in place of a value."""


@dataclass(frozen=True)
class Row:
    """Panels under a title."""

    title: str
    panels: Sequence[Panel]


def board(title: str, about: str, *rows: Row) -> dashboard.Dashboard:
    """One dashboard, with links to all the others."""
    link = (
        dashboard.DashboardLink("Agent Stack")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags(["agentstack"])
        .keep_time(True)
    )
    built = (
        dashboard.Dashboard(f"Agent Stack: {title}")
        .description(about)
        .tags(["agentstack"])
        .readonly()
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(link)
    )
    for row in rows:
        built.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            built.with_panel(panel)
    return built


def number(
    title: str, expression: str, *steps: tuple[float | None, str], unit: str = "short", about: str = ""
) -> stat.Panel:
    """One number, coloured by `steps`."""
    panel = stat.Panel().title(title).description(about).datasource(SOURCE).unit(unit).span(4).height(4)
    panel.thresholds(_thresholds(steps or ((None, GREEN),))).color_mode(BigValueColorMode.VALUE).graph_mode(
        BigValueGraphMode.NONE
    )
    _with_targets(panel, [_query(expression).instant()])
    return panel


def lines(title: str, *queries: Query, unit: str = "short", about: str = "", stacked: bool = False) -> timeseries.Panel:
    """Lines over time, one a series."""
    panel = timeseries.Panel().title(title).description(about).datasource(SOURCE).unit(unit).min(0).span(8).height(8)
    panel.fill_opacity(10).tooltip(common.VizTooltipOptions())
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    _with_targets(panel, [_query(expression, legend) for expression, legend in queries])
    return panel


def shares(title: str, expression: str, legend: str, about: str = "") -> bargauge.Panel:
    """Used shares, 0 to 1, as bars."""
    panel = bargauge.Panel().title(title).description(about).datasource(SOURCE).unit("percentunit").min(0).max(1)
    panel.orientation(VizOrientation.HORIZONTAL).span(8).height(8)
    panel.thresholds(_thresholds(FILLS))
    _with_targets(panel, [_query(expression, legend).instant()])
    return panel


def series(title: str, expression: str, about: str = "") -> table.Panel:
    """A table with a row a series and a column a label."""
    panel = table.Panel().title(title).description(about).datasource(SOURCE).span(24).height(7)
    _with_targets(panel, [_query(expression).instant().format(PromQueryFormat.TABLE)])
    hidden = {"Time": True, "Value": True, "__name__": True, "alertstate": True, "instance": True, "job": True}
    panel.with_transformation(model.DataTransformerConfig(id_val="organize", options={"excludeByName": hidden}))
    return panel


def columns(title: str, key: str, *columns: Column, about: str = "") -> table.Panel:
    """A table with a row for each value of the label `key`, and a column for each query."""
    panel = table.Panel().title(title).description(about).datasource(SOURCE).span(24).height(8)
    queries = [_query(column.expression).instant().format(PromQueryFormat.TABLE) for column in columns]
    _with_targets(panel, queries)
    # Rows of all queries with the same time and key become one.
    panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    names = {f"Value #{chr(ord('A') + index)}": column.name for index, column in enumerate(columns)}
    order = {name: index for index, name in enumerate([key, *names])}
    options = {"excludeByName": {"Time": True}, "renameByName": names, "indexByName": order}
    panel.with_transformation(model.DataTransformerConfig(id_val="organize", options=options))
    for column in columns:
        panel.override_by_name(column.name, _look(column))
    return panel


def alerts(names: str, *, claims: str) -> Row:
    """The firing alerts whose names match `names`, and those on volumes of `claims`; both are regular expressions."""
    firing = 'ALERTS{alertstate="firing", '
    return Row(
        "Alerts",
        [
            series(
                "Alerts firing",
                f"""{firing}alertname=~"{names}"}}
                or {firing}alertname=~"Volume.+", persistentvolumeclaim=~"{claims}"}}""",
                about="What each means and what to do: docs/alerts.md.",
            )
        ],
    )


def resources(*, claims: str, apps: str) -> Row:
    """How full the volumes of `claims` are, and what the pods of `apps` use; both are regular expressions."""
    available = f'kubelet_volume_stats_available_bytes{{persistentvolumeclaim=~"{claims}"}}'
    return Row(
        "Resources",
        [
            shares(
                "Volumes used",
                f"""1 - namespace_persistentvolumeclaim:kubelet_volume_stats_available:ratio{{
                  persistentvolumeclaim=~"{claims}"
                }}""",
                "{{persistentvolumeclaim}}",
                about="Empty where the volume driver reports no usage.",
            ),
            lines(
                "Days until full",
                (
                    f"""max by (persistentvolumeclaim) (
                      {available}
                    ) / (
                      max by (persistentvolumeclaim) (
                        -deriv({available}[6h])
                      ) > 0
                    ) / 86400 < 30""",
                    "{{persistentvolumeclaim}}",
                ),
                about="As it went in the last six hours; those of less than a month.",
            ),
            lines(
                "CPU",
                (f'namespace_app:container_cpu_usage_seconds:rate5m{{app=~"{apps}"}}', "{{app}} {{component}}"),
                unit="cores",
            ),
            lines(
                "Memory",
                (f'namespace_app:container_memory_working_set_bytes:sum{{app=~"{apps}"}}', "{{app}} {{component}}"),
                unit="bytes",
            ),
        ],
    )


def _look(column: Column) -> list[model.DynamicConfigValue]:
    steps = model.ThresholdsConfig(
        mode=model.ThresholdsMode.ABSOLUTE,
        steps=[model.Threshold(value=value, color=color) for value, color in column.steps or ((None, "text"),)],
    )
    values = [
        model.DynamicConfigValue(id_val="unit", value=column.unit),
        model.DynamicConfigValue(id_val="thresholds", value=steps),
        model.DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"}),
    ]
    if column.words:
        mapping = model.ValueMap(
            options={str(value): model.ValueMappingResult(text=text) for value, text in column.words.items()}
        )
        values.append(model.DynamicConfigValue(id_val="mappings", value=[mapping]))
    return values


def _query(expression: str, legend: str = "") -> prometheus.Dataquery:
    query = prometheus.Dataquery().expr(re.sub(r"\s+", " ", expression).strip())
    return query.legend_format(legend) if legend else query


def _with_targets(panel: Panel, queries: Sequence[prometheus.Dataquery]) -> None:
    for index, query in enumerate(queries):
        panel.with_target(query.ref_id(chr(ord("A") + index)))


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    return (
        dashboard.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value=value, color=color) for value, color in steps])
    )
