"""What observes the stack as nodes and edges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from components.topology import EGRESS, EXTERNAL, MONITOR, OBSERVES, Edge, Node, NodeKind, external_node
from settings.types import duration_text

if TYPE_CHECKING:
    from settings import Settings

OBSERVABILITY: Final = NodeKind("observability", "monitor", MONITOR, "box")
NODE: Final = "prometheus"
NODE_OF_PROGRAM: Final = {
    "alertmanager": "alertmanager",
    "grafana": "grafana",
    "kube-state-metrics": "exporters",
    "node-exporter": "exporters",
}


def topology(settings: Settings) -> Iterator[Node | Edge]:
    """Yield Grafana, Prometheus, Alertmanager and the exporters; each part itself says that it is scraped."""
    group, observability = settings.namespaces.observability.name, settings.observability
    kept = duration_text(observability.prometheus.retention)
    yield Node("grafana", OBSERVABILITY, "Grafana", "dashboards", group)
    yield Node(NODE, OBSERVABILITY, "Prometheus", f"scrapes all, keeps {kept}", group)
    yield Node("alertmanager", OBSERVABILITY, "Alertmanager", "alerts", group)
    yield Node("exporters", OBSERVABILITY, "exporters", "of objects and nodes", group)
    yield Edge("grafana", NODE, OBSERVES, "queries")
    yield Edge(NODE, "alertmanager", OBSERVES, "alerts")
    yield Edge(NODE, "exporters", OBSERVES, "scrapes")
    if observability.alertmanager.webhook_url_secret is not None:
        yield Node(external_node("webhook"), EXTERNAL, "webhook", "URL in a Secret")
        yield Edge("alertmanager", external_node("webhook"), EGRESS, "alerts")
