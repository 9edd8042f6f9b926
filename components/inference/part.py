"""What the other rooms must know of inference."""

from __future__ import annotations

from typing import Final

from components.part import Part

PART: Final = Part(
    "inference",
    section="inference",
    types=("agentstack:inference:ModelServer",),
    builder="components.inference.component:build",
)
