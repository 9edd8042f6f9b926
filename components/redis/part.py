"""What the other rooms must know of Redis."""

from __future__ import annotations

from typing import Final

from components.part import Part
from components.purpose import Purpose

from .topology import NODE, REDIS, topology

PART: Final = Part(
    "redis",
    section="redis",
    types=("agentstack:data:RedisCluster",),
    node_kinds=(REDIS,),
    topology=topology,
    node=NODE,
    purposes=(Purpose("Secret", "its own user of Redis", ("uses: redis", "redisKeys")),),
)
