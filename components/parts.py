"""The parts of the stack, in the order in which they need each other. Imports no Pulumi."""

from __future__ import annotations

from typing import Final

from .agent.part import PART as AGENT
from .gateway.part import PART as GATEWAY
from .inference.part import PART as INFERENCE
from .kafka.part import PART as KAFKA
from .namespaces.part import PART as NAMESPACES
from .observability.part import PART as OBSERVABILITY
from .part import Part
from .platform.part import PART as PLATFORM
from .redis.part import PART as REDIS

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
