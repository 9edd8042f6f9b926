"""Who scrapes metrics of whom, by annotations of pods and Prometheus's scrape jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .documents import entries, parsed
from .fields import get, mapping, objects, strings, text
from .manifest import Manifest
from .stack import Stack, pod_labels
from .workloads import WORKLOAD_KINDS, container_ports, namespace_of, pod_template


@dataclass(frozen=True)
class Scraper:
    """A workload whose configuration has Prometheus's scrape jobs."""

    workload: Manifest
    jobs: Sequence[Manifest]


def scrapers(stack: Stack) -> list[Scraper]:
    """The workloads of the stack that scrape."""
    found = []
    for workload in stack.of_kind(*WORKLOAD_KINDS):
        jobs: list[Manifest] = []
        for entry in entries(workload, stack):
            if "scrape_configs" in entry.content:
                jobs += objects(parsed(entry.content), "scrape_configs")
        if jobs:
            found.append(Scraper(workload, jobs))
    return found


def scraped_ports(workload: Manifest, scraper: Scraper) -> list[int]:
    """The ports of a pod of `workload` that are scraped, by its annotations or by a job for its labels."""
    ports = set()
    annotated = annotated_port(workload) or ""
    for job in scraper.jobs:
        wanted = {name for config in objects(job, "relabel_configs") for name in _port_names(config)}
        for discovery in objects(job, "kubernetes_sd_configs"):
            if text(discovery, "role") != "pod" or not _looks_at(discovery, scraper.workload, workload):
                continue
            selectors = [item for item in objects(discovery, "selectors") if text(item, "role") == "pod"]
            if selectors and all(_meets(text(item, "label"), pod_labels(workload)) for item in selectors):
                ports |= {number for name, number in container_ports(workload) if not wanted or name in wanted}
            elif not selectors and annotated.isdecimal() and len(annotated) < 6:
                ports.add(int(annotated))
    return sorted(ports)


def _looks_at(discovery: Manifest, scraper: Manifest, workload: Manifest) -> bool:
    names = strings(discovery, "namespaces", "names")
    if get(discovery, "namespaces", "own_namespace") is True:
        names = [*names, namespace_of(scraper)]
    return not names or namespace_of(workload) in names


def annotated_port(workload: Manifest) -> str | None:
    """The port in the annotations of pods that ask to be scraped (empty where there is none), or None."""
    annotations = mapping(pod_template(workload), "metadata", "annotations")
    if get(annotations, "prometheus.io/scrape") not in ("true", True):
        return None
    port = get(annotations, "prometheus.io/port")
    return "" if port is None else str(port)


def _port_names(config: Manifest) -> Iterator[str]:
    if text(config, "action") == "keep" and strings(config, "source_labels") == [
        "__meta_kubernetes_pod_container_port_name"
    ]:
        yield from text(config, "regex").split("|")


def _meets(selector: str, labels: Mapping[str, object]) -> bool:
    pairs = [pair.partition("=") for pair in selector.split(",") if pair]
    return bool(pairs) and all(get(labels, key.strip()) == value.lstrip("=").strip() for key, _, value in pairs)
