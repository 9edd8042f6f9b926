"""What the scraped targets of a stack export, by the names that were recorded from real exporters in `metrics`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from manifests.documents import Entry, entries, parsed
from manifests.fields import known, objects, path_to, placed, strings, text
from manifests.images import qualified
from manifests.manifest import Manifest
from manifests.scraping import Scraper, scraped_ports, scrapers
from manifests.stack import Stack
from manifests.workloads import WORKLOAD_KINDS, containers, namespace_of

_METRICS: Final = Path(__file__).with_name("metrics")


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
    names |= {text(rule, "record") for listed in stack.once(prometheus_rules).values() for rule, _ in listed}
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


def prometheus_rules(stack: Stack) -> dict[tuple[str, str], list[tuple[Manifest, str]]]:
    """Return alerting and recording rules by the namespace and name of the object that they are in.

    Each with its place there: of one in a file of a ConfigMap, the file's.
    """
    found: dict[tuple[str, str], list[tuple[Manifest, str]]] = defaultdict(list)
    for manifest in stack.of_kind("PrometheusRule"):
        owner = namespace_of(manifest), text(manifest, "metadata", "name")
        for group in placed(manifest, "spec", "groups"):
            found[owner] += [(rule, rule.at("expr")) for rule in placed(group, "rules")]
    for owner, files in stack.once(files_read).items():
        for entry in files:
            if "groups:" in entry.content and "expr:" in entry.content:
                path = path_to("data", entry.key)
                for listed in objects(parsed(entry.content), "groups"):
                    found[owner] += [(rule, path) for rule in objects(listed, "rules")]
    return found


def files_read(stack: Stack) -> dict[tuple[str, str], list[Entry]]:
    """By namespace and name, what pods read of each ConfigMap."""
    found: dict[tuple[str, str], dict[Entry, None]] = {}
    for workload in stack.of_kind(*WORKLOAD_KINDS):
        for entry in entries(workload, stack):
            found.setdefault((namespace_of(workload), entry.config_map), {})[entry] = None
    return {key: list(files) for key, files in found.items()}
