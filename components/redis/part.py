"""What the other rooms must know of Redis."""

from __future__ import annotations

from typing import Final

from components.part import Exporter, Part
from components.purpose import Purpose

from .changes import CHANGES, facts
from .topology import NODE, REDIS, topology

METRICS_PORT: Final = 9121

PART: Final = Part(
    "redis",
    section="redis",
    types=("agentstack:data:RedisCluster",),
    exporters=(Exporter("data", METRICS_PORT),),
    builder="components.redis.component:build",
    facts=facts,
    changes=CHANGES,
    node_kinds=(REDIS,),
    topology=topology,
    node=NODE,
    purposes=(Purpose("Secret", "its own user of Redis", ("uses: redis", "redisKeys")),),
)
