"""What the other rooms must know of Redis."""

from __future__ import annotations

from typing import Final

from components.part import Part

from .changes import CHANGES, facts

PART: Final = Part(
    "redis",
    section="redis",
    types=("agentstack:data:RedisCluster",),
    builder="components.redis.component:build",
    facts=facts,
    changes=CHANGES,
)
