"""What the other rooms must know of the stack as a whole."""

from __future__ import annotations

from typing import Final

from components.part import Part

from .changes import CHANGES, facts

PART: Final = Part(
    "platform",
    section="platform",
    types=("agentstack:platform:Platform",),
    facts=facts,
    changes=CHANGES,
)
