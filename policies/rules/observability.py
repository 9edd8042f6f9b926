"""Alert rules and dashboards against what the scraped targets of the stack export.

`policies/metrics` has the names that the exporters of the stack export, recorded from real ones.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from manifests.documents import Entry, entries, parsed
from manifests.fields import known, known_objects, objects, strings, text
from manifests.manifest import Manifest
from manifests.stack import Stack
from manifests.workloads import WORKLOAD_KINDS, containers, namespace_of

from .conventions import qualified
from .flows import Scraper, scraped_ports, scrapers
from .model import Rule, stack_rule
from .promql import metric_names

_METRICS: Final = Path(__file__).parents[1] / "metrics"
_LABEL_VALUES: Final = re.compile(r"label_values\((.+),\s*[\w$]+\s*\)", re.DOTALL)
_RESULT: Final = re.compile(r"query_result\((.+)\)", re.DOTALL)


@dataclass(frozen=True)
class _Exporter:
    """Who exports the names in a file."""

    image: str
    """The end of the image's name; of cAdvisor and the kubelet, which have none, the path that is scraped."""
    prefix: str
    """With what the names begin that nobody else exports."""
    argument: str = ""
    """An argument without which it exports more than the recorded names."""


# Prometheus, Alertmanager and the like also export names of their runtime (go_, process_), which others have, too.
_EXPORTERS: Final = {
    "alertmanager": _Exporter("prom/alertmanager", "alertmanager_"),
    "cadvisor": _Exporter("/metrics/cadvisor", "container_"),
    "kafka_exporter": _Exporter("/kafka-exporter", "kafka_"),
    "kube_state_metrics": _Exporter("/kube-state-metrics", "kube_", "--resources="),
    "kubelet": _Exporter("/metrics", "kubelet_volume_stats_"),
    "node_exporter": _Exporter("prom/node-exporter", "node_", "--collector.disable-defaults"),
    "prometheus": _Exporter("prom/prometheus", "prometheus_"),
    "redis_exporter": _Exporter("oliver006/redis_exporter", "redis_"),
}
_ALWAYS: Final = ("synthetic", "fleet_controller")
"""What Prometheus adds by itself, and what the project's own program exports where there is a fleet."""


@dataclass(frozen=True)
class Exported:
    """The names that the scraped targets of a stack export."""

    names: frozenset[str]
    prefixes: tuple[str, ...]
    """With these begin names that are all in `names`."""
    open: bool
    """Whether something is scraped whose names are not known."""

    def has(self, name: str) -> bool:
        """Whether a target may export `name`."""
        return name in self.names or (self.open and not name.startswith(self.prefixes))


@cache
def recorded(exporter: str) -> frozenset[str]:
    """Return the names in `policies/metrics`."""
    lines = (_METRICS / f"{exporter}.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def exported(stack: Stack) -> Exported | None:
    """Return what the targets of the stack export, with what its recording rules make; None if nothing scrapes."""
    found = stack.once(scrapers)
    if not found:
        return None
    names = {name for exporter in _ALWAYS for name in recorded(exporter)}
    closed = {exporter.prefix for exporter in _EXPORTERS.values()}
    # What the stack does not run, such as Redis in an external service, may be scraped by other means.
    running = [known(c, "image") for workload in stack.of_kind(*WORKLOAD_KINDS) for c in containers(workload)]
    here = {name for image in running if isinstance(image, str) for name in _named(image)}
    absent = {name for name, exporter in _EXPORTERS.items() if name not in here and not _is_path(exporter)}
    names |= {name for exporter in absent for name in recorded(exporter)}
    unknown = False
    for exporter, complete in _scraped(stack, found):
        if exporter is None:
            unknown = True
            continue
        names |= recorded(exporter)
        if not complete:
            closed.discard(_EXPORTERS[exporter].prefix)
            unknown = True
    for groups in stack.once(_groups).values():
        names |= {text(rule, "record") for group in groups for rule in objects(group, "rules")}
    return Exported(frozenset(names), tuple(sorted(closed)), unknown)


def _scraped(stack: Stack, found: list[Scraper]) -> Iterator[tuple[str | None, bool]]:
    """The exporters that are scraped, None for one that is not known, each with whether its names are complete."""
    by_path = {exporter.image: name for name, exporter in _EXPORTERS.items() if _is_path(exporter)}
    for scraper in found:
        for job in scraper.jobs:
            if any(text(discovery, "role") == "node" for discovery in objects(job, "kubernetes_sd_configs")):
                yield by_path.get(text(job, "metrics_path") or "/metrics"), True
            elif objects(job, "static_configs"):
                yield None, False
        for workload in stack.of_kind(*WORKLOAD_KINDS):
            if scraped_ports(workload, scraper):
                yield from _exporters(workload)


def _is_path(exporter: _Exporter) -> bool:
    return exporter.image.startswith("/metrics")


def _exporters(workload: Manifest) -> Iterator[tuple[str | None, bool]]:
    known_image = False
    for container in containers(workload):
        for name in _named(text(container, "image")):
            known_image = True
            arguments = (*strings(container, "command"), *strings(container, "args"))
            yield name, any(argument.startswith(_EXPORTERS[name].argument) for argument in (*arguments, ""))
    if not known_image:
        yield None, False


def _named(image: str) -> list[str]:
    """The exporters that an image is of."""
    image = qualified(image.partition("@")[0])
    path = image.rpartition("/")[0] + "/" + image.rpartition("/")[2].partition(":")[0]
    return [name for name, exporter in _EXPORTERS.items() if path.endswith(exporter.image)]


def _groups(stack: Stack) -> dict[tuple[str, str], list[Manifest]]:
    """By namespace and name of the object that they are in, the groups of rules."""
    found: dict[tuple[str, str], list[Manifest]] = defaultdict(list)
    for rules in stack.of_kind("PrometheusRule"):
        found[namespace_of(rules), text(rules, "metadata", "name")] += objects(rules, "spec", "groups")
    for key, files in stack.once(_files).items():
        for entry in files:
            if "groups:" in entry.content and "expr:" in entry.content:
                found[key] += objects(parsed(entry.content), "groups")
    return found


def _files(stack: Stack) -> dict[tuple[str, str], list[Entry]]:
    """By namespace and name, what pods read of each ConfigMap."""
    found: dict[tuple[str, str], dict[Entry, None]] = {}
    for workload in stack.of_kind(*WORKLOAD_KINDS):
        for entry in entries(workload, stack):
            found.setdefault((namespace_of(workload), entry.config_map), {})[entry] = None
    return {key: list(files) for key, files in found.items()}


@stack_rule(
    "alert-metrics",
    "error",
    "Alerting and recording rules read metrics that something exports.",
    subjects=lambda stack: stack.of_kind("ConfigMap", "PrometheusRule"),
    complete=True,
)
def alert_metrics(manifest: Manifest, stack: Stack) -> Iterator[str]:
    """Fires on a name that no scraped target of the stack exports and no rule records: such an alert never fires.

    Names of applications are not known: where one is scraped, only names that begin as those of known exporters do are
    judged.
    """
    targets = stack.once(exported)
    own = namespace_of(manifest), text(manifest, "metadata", "name")
    for group in stack.once(_groups).get(own, ()) if targets else ():
        for rule in objects(group, "rules"):
            yield from _missing(targets, text(rule, "alert") or text(rule, "record"), text(rule, "expr"))


@stack_rule(
    "dashboard-metrics",
    "error",
    "Dashboards read metrics that something exports.",
    subjects=lambda stack: stack.of_kind("ConfigMap"),
    complete=True,
)
def dashboard_metrics(manifest: Manifest, stack: Stack) -> Iterator[str]:
    """Fires as `alert-metrics` does, on the panels and variables of Grafana dashboards that pods read."""
    targets = stack.once(exported)
    own = namespace_of(manifest), text(manifest, "metadata", "name")
    for entry in stack.once(_files).get(own, ()) if targets else ():
        if entry.key.endswith(".json") and '"panels"' in entry.content:
            for title, expression in _queries(parsed(entry.content)):
                yield from _missing(targets, f"{entry.key}: {title}", expression)


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


def _missing(targets: Exported | None, title: str, expression: str) -> Iterator[str]:
    for name in sorted(metric_names(expression)):
        if targets is not None and not targets.has(name):
            yield f'{title} reads "{name}", which nothing that is scraped exports; correct the name, or scrape who does'


RULES: tuple[Rule, ...] = (
    alert_metrics,
    dashboard_metrics,
)
