"""Settings of metrics and alerts: Prometheus, Alertmanager, Grafana and the exporters of the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from pydantic import Field

from manifests.problems import Problem

from .model import Demand, Model, Resources, SecretKey, Section
from .types import Duration, Memory


class PrometheusSettings(Model):
    """Metrics and their rules."""

    scrape_interval: Duration = Field(default=timedelta(seconds=30), ge=timedelta(seconds=1))
    retention: Duration = Field(default=timedelta(days=15), ge=timedelta(hours=2))
    """Samples are deleted after this time ..."""
    retention_size: Memory = Memory("40Gi")
    """... or, oldest first, when they exceed this size; must fit into the claim."""
    storage: Memory = Memory("50Gi")
    resources: Resources = Resources.of("500m", "2Gi", "2", "4Gi")

    def problems(self) -> Iterator[Problem]:
        """What is kept fits into the claim."""
        if self.retention_size.amount >= self.storage.amount:
            yield Problem(
                ("retentionSize",),
                f"{self.retention_size} does not fit into the claim of {self.storage}",
                "keep it at 80 % of `storage`, since the write-ahead log needs room as well",
            )


class AlertmanagerSettings(Model):
    """Where alerts go."""

    webhook_url_secret: SecretKey | None = None
    """The Secret, in the observability namespace, that holds the URL that alerts are posted to; absent: they are
    only shown."""
    resources: Resources = Resources.of("20m", "64Mi", "100m", "128Mi")


class GrafanaSettings(Model):
    """Dashboards."""

    resources: Resources = Resources.of("100m", "256Mi", "500m", "512Mi")


class ObservabilitySettings(Section):
    """Metrics, alerts and dashboards."""

    prometheus: PrometheusSettings = PrometheusSettings()
    alertmanager: AlertmanagerSettings = AlertmanagerSettings()
    grafana: GrafanaSettings = GrafanaSettings()
    kube_state_metrics_resources: Resources = Resources.of("20m", "64Mi", "200m", "256Mi")
    node_exporter_resources: Resources = Resources.of("20m", "32Mi", "200m", "64Mi")
    """Of the collector on each node."""

    def demands(self) -> dict[str, list[Demand]]:
        """Return its pods; the collectors' for one node, since settings do not know the nodes."""
        return {
            "observability": [
                _one("prometheus", self.prometheus.resources),
                _one("alertmanager", self.alertmanager.resources),
                _one("grafana", self.grafana.resources),
                _one("kube-state-metrics", self.kube_state_metrics_resources),
            ],
            "collectors": [_one("node-exporter", self.node_exporter_resources)],
        }


def _one(source: str, resources: Resources) -> Demand:
    return Demand(source=source, minimum=1, maximum=1, containers=(resources,))
