"""Metrics, alerts and dashboards of the whole stack."""

from __future__ import annotations

import pulumi

from components.namespaces.component import Namespaces
from components.versions import ALERTMANAGER, GRAFANA, KUBE_STATE_METRICS, NODE_EXPORTER, PROMETHEUS
from settings import ObservabilitySettings
from settings.types import duration_text

from . import alertmanager, exporters, grafana, prometheus
from .common import Part


class Observability(pulumi.ComponentResource):
    """Prometheus with its rules, Alertmanager, Grafana with its dashboards, kube-state-metrics and node-exporter.

    Prometheus reads every pod of the four namespaces that is annotated with `prometheus.io/scrape: "true"`; its pods
    bear the labels `selector("prometheus", "metrics")`, for the NetworkPolicies of others. With `protect`, the engine
    refuses to delete what holds data: the stateful sets and Grafana's password.
    """

    prometheus_service: str
    """The Service of Prometheus, port 9090."""
    alertmanager_service: str
    """The Service of Alertmanager, port 9093."""
    grafana_service: str
    """The Service of Grafana, port 3000."""
    grafana_admin_secret: str
    """The Secret with Grafana's `admin-user` and `admin-password`."""

    def __init__(
        self,
        name: str,
        spec: ObservabilitySettings,
        *,
        namespaces: Namespaces,
        storage_class: str | None = None,
        protect: bool = True,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("agentstack:observability:Observability", name, None, opts)
        here, nodes = namespaces.observability, namespaces.collectors
        metrics = Part("prometheus", "metrics", here, 9090, PROMETHEUS)
        alerts = Part("alertmanager", "alerts", here, 9093, ALERTMANAGER)
        boards = Part("grafana", "dashboards", here, 3000, GRAFANA)
        objects = Part("kube-state-metrics", "exporter", here, 8080, KUBE_STATE_METRICS)
        node = Part("node-exporter", "exporter", nodes, 9100, NODE_EXPORTER)

        prometheus.deploy(
            metrics,
            spec.prometheus,
            namespaces=namespaces,
            storage_class=storage_class,
            targets=(alerts, boards, objects, node),
            clients=(boards.peer(),),
            protect=protect,
            parent=self,
        )
        clients = (metrics.peer(),)
        alertmanager.deploy(
            alerts, spec.alertmanager, storage_class=storage_class, clients=clients, protect=protect, parent=self
        )
        self.grafana_admin_secret = grafana.deploy(
            boards,
            spec.grafana,
            scrape_interval=duration_text(spec.prometheus.scrape_interval),
            prometheus=metrics,
            protect=protect,
            parent=self,
        )
        exporters.kube_state_metrics(
            objects, spec.kube_state_metrics_resources, namespaces=namespaces, clients=clients, parent=self
        )
        exporters.node_exporter(node, spec.node_exporter_resources, clients=clients, parent=self)
        self.prometheus_service = metrics.name
        self.alertmanager_service = alerts.name
        self.grafana_service = boards.name
        self.register_outputs({})
