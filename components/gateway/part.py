"""What the other rooms must know of the gateway."""

from __future__ import annotations

from typing import Final

from components.part import Part
from components.purpose import Purpose

from .topology import CLIENT, GATEWAY, NODE, topology

PART: Final = Part(
    "gateway",
    section="gateway",
    types=("agentstack:gateway:Gateway",),
    builder="components.gateway.component:build",
    node_kinds=(CLIENT, GATEWAY),
    topology=topology,
    node=NODE,
    purposes=(
        Purpose("Ingress", "routes requests from outside to all public agents", ("public",)),
        Purpose("HTTPRoute", "routes requests from outside to it", ("public", "release")),
    ),
    custom_kinds={"Gateway": "Ingress", "HTTPRoute": "Ingress"},
)
