"""Alert rules and dashboards against what the scraped targets of the stack export."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from manifests.documents import parsed
from manifests.fields import known, known_objects, path_to, text
from manifests.manifest import Manifest
from manifests.promql import metric_names
from manifests.stack import Stack
from manifests.workloads import namespace_of
from policies.exporters import Exported, exported, files_read, prometheus_rules
from policies.findings import Finding
from policies.model import Rule, stack_rule

_LABEL_VALUES: Final = re.compile(r"label_values\((.+),\s*[\w$]+\s*\)", re.DOTALL)
_RESULT: Final = re.compile(r"query_result\((.+)\)", re.DOTALL)


@stack_rule(
    "alert-metrics",
    "error",
    "Alerting and recording rules read metrics that something exports.",
    subjects=lambda stack: stack.of_kind("ConfigMap", "PrometheusRule"),
    remedy="correct the name, or scrape who does",
    complete=True,
)
def alert_metrics(manifest: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires on a name that no scraped target of the stack exports and no rule records: such an alert never fires.

    Names of applications are not known: where one is scraped, only names that begin as those of known exporters do are
    judged.
    """
    targets = stack.once(exported)
    own = namespace_of(manifest), text(manifest, "metadata", "name")
    for rule, path in stack.once(prometheus_rules).get(own, ()) if targets else ():
        yield from _missing(targets, text(rule, "alert") or text(rule, "record"), text(rule, "expr"), path)


@stack_rule(
    "dashboard-metrics",
    "error",
    "Dashboards read metrics that something exports.",
    subjects=lambda stack: stack.of_kind("ConfigMap"),
    remedy="correct the name, or scrape who does",
    complete=True,
)
def dashboard_metrics(manifest: Manifest, stack: Stack) -> Iterator[Finding]:
    """Fires as `alert-metrics` does, on the panels and variables of Grafana dashboards that pods read."""
    targets = stack.once(exported)
    own = namespace_of(manifest), text(manifest, "metadata", "name")
    for entry in stack.once(files_read).get(own, ()) if targets else ():
        if entry.key.endswith(".json") and '"panels"' in entry.content:
            for title, expression in _queries(parsed(entry.content)):
                yield from _missing(targets, f"{entry.key}: {title}", expression, path_to("data", entry.key))


def _queries(board: Any) -> Iterator[tuple[str, str]]:
    """Each PromQL expression of a dashboard, with where it is."""
    panels = known_objects(board, "panels")
    for panel in (*panels, *(inner for row in panels for inner in known_objects(row, "panels"))):
        source = text(panel, "datasource", "type")
        for target in known_objects(panel, "targets"):
            if (text(target, "datasource", "type") or source) in ("", "prometheus"):
                yield f'panel "{text(panel, "title")}"', text(target, "expr")
    for variable in known_objects(board, "templating", "list"):
        wanted = text(variable, "query") or text(variable, "query", "query")
        found = _LABEL_VALUES.fullmatch(wanted.strip()) or _RESULT.fullmatch(wanted.strip())
        if found and known(variable, "type") == "query":
            yield f"variable {text(variable, 'name')}", found[1]


def _missing(targets: Exported | None, title: str, expression: str, path: str) -> Iterator[Finding]:
    for name in sorted(metric_names(expression)):
        if targets is not None and not targets.has(name):
            yield Finding(f'{title} reads "{name}", which nothing that is scraped exports', path)


RULES: tuple[Rule, ...] = (
    alert_metrics,
    dashboard_metrics,
)
