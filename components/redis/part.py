"""What the other rooms must know of Redis."""

from __future__ import annotations

from typing import Final

from components.part import Exporter, Part

from .changes import CHANGES, facts

METRICS_PORT: Final = 9121

PART: Final = Part(
    "redis",
    section="redis",
    types=("agentstack:data:RedisCluster",),
    exporters=(Exporter("data", METRICS_PORT),),
    builder="components.redis.component:build",
    facts=facts,
    changes=CHANGES,
)
