"""The way in from outside as nodes and edges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from components.topology import ENTRY, ROUTES, Edge, Node, NodeKind, agent_node

if TYPE_CHECKING:
    from settings import Settings

CLIENT: Final = NodeKind("client", "client", ENTRY, "pill")
GATEWAY: Final = NodeKind("gateway", "gateway", ENTRY, "hexagon")
NODE: Final = "gateway"


def topology(settings: Settings) -> Iterator[Node | Edge]:
    """Yield clients and gateway, and the routes to public agents; nothing without one of these."""
    gateway = settings.gateway
    public = {name: agent.public for name, agent in settings.agents.items() if agent.public is not None}
    if not public:
        return
    hosts = sorted({agent.host or str(gateway.host) for agent in public.values()})
    if gateway.parent is not None:
        detail = f"HTTPRoutes of {gateway.parent.namespace}/{gateway.parent.name}"
    else:
        detail = f"Ingress {gateway.ingress_class}, {'TLS' if gateway.tls else 'plain HTTP'}"
    yield Node("client", CLIENT, "clients", hosts[0] if len(hosts) == 1 else f"{len(hosts)} hosts")
    yield Node(NODE, GATEWAY, "gateway", detail, settings.namespaces.agents.name)
    yield Edge("client", NODE, ROUTES, ", ".join(hosts[:3]))
    for name, route in public.items():
        yield Edge(NODE, agent_node(name), ROUTES, route.path)
