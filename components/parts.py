"""The parts of the stack, in the order in which they need each other. Imports no Pulumi."""

from __future__ import annotations

import pkgutil
from typing import Final

from components.part import Part

_ROOMS: Final = (
    "platform",
    "namespaces",
    "observability",
    "redis",
    "kafka",
    "inference",
    "workflows",
    "agent",
    "gateway",
)

# By name: a room that reads what all parts declare, as Prometheus does, is itself one of them.
PARTS: Final[tuple[Part, ...]] = tuple(pkgutil.resolve_name(f"components.{room}.part:PART") for room in _ROOMS)
