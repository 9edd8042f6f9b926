"""The parts of the stack, in the order in which they need each other. Imports no Pulumi."""

from __future__ import annotations

from typing import Final

from components.agent.part import PART as AGENT
from components.gateway.part import PART as GATEWAY
from components.inference.part import PART as INFERENCE
from components.kafka.part import PART as KAFKA
from components.namespaces.part import PART as NAMESPACES
from components.observability.part import PART as OBSERVABILITY
from components.part import Part
from components.redis.part import PART as REDIS

from .part import PART as PLATFORM

PARTS: Final[tuple[Part, ...]] = (
    PLATFORM,
    NAMESPACES,
    OBSERVABILITY,
    REDIS,
    KAFKA,
    INFERENCE,
    AGENT,
    GATEWAY,
)
