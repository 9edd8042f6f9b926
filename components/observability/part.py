"""What the other rooms must know of observability."""

from __future__ import annotations

from typing import Final

from components.part import Part

from .changes import CHANGES, facts

PART: Final = Part(
    "observability",
    section="observability",
    types=("agentstack:observability:Observability",),
    builder="components.observability.component:build",
    facts=facts,
    changes=CHANGES,
)
