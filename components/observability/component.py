"""Metrics, alerts and dashboards of the whole stack."""

from __future__ import annotations

import pulumi

from components.context import Context, Offer
from components.labels import selector
from components.network import Peer
from components.versions import ALERTMANAGER, GRAFANA, KUBE_STATE_METRICS, NODE_EXPORTER, PROMETHEUS
from settings import ObservabilitySettings, Settings
from settings.types import duration_text

from . import alertmanager, exporters, grafana, prometheus
from .common import Program


class Observability(pulumi.ComponentResource):
    """Prometheus with its rules, Alertmanager, Grafana with its dashboards, kube-state-metrics and node-exporter.

    Prometheus reads every pod of the four namespaces that is annotated with `prometheus.io/scrape: "true"`; its pods
    bear the labels `selector("prometheus", "metrics")`, for the NetworkPolicies of others. Where data is protected, the
    engine refuses to delete what holds it: the stateful sets and Grafana's password.
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
        context: Context,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("agentstack:observability:Observability", name, None, opts)
        namespaces, storage_class, protect = context.namespaces, context.storage_class, context.protect
        here, nodes = namespaces.observability, namespaces.collectors
        metrics = Program("prometheus", "metrics", here, 9090, PROMETHEUS)
        alerts = Program("alertmanager", "alerts", here, 9093, ALERTMANAGER)
        boards = Program("grafana", "dashboards", here, 3000, GRAFANA)
        objects = Program("kube-state-metrics", "exporter", here, 8080, KUBE_STATE_METRICS)
        node = Program("node-exporter", "exporter", nodes, 9100, NODE_EXPORTER)

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


def build(settings: Settings, context: Context, opts: pulumi.ResourceOptions) -> Offer:
    """Offer who scrapes metrics, and to people how they open each program."""
    made = Observability("observability", settings.observability, context, opts)
    namespace = context.namespaces.observability.name

    def forward(service: str, port: int) -> str:
        return f"kubectl --namespace {namespace} port-forward service/{service} {port}"

    return Offer(
        prometheus=Peer(namespace, selector("prometheus", "metrics")),
        outputs={
            "grafana": forward(made.grafana_service, 3000),
            "grafanaAdmin": f"kubectl --namespace {namespace} get secret {made.grafana_admin_secret} "
            "--output jsonpath='{.data.admin-password}' | base64 --decode",
            "prometheus": forward(made.prometheus_service, 9090),
            "alertmanager": forward(made.alertmanager_service, 9093),
        },
    )
