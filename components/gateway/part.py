"""What the other rooms must know of the gateway."""

from __future__ import annotations

from typing import Final

from components.part import Part

PART: Final = Part(
    "gateway",
    section="gateway",
    types=("agentstack:gateway:Gateway",),
    builder="components.gateway.component:build",
)
