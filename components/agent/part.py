"""What the other rooms must know of agents."""

from __future__ import annotations

from typing import Final

from components.part import Part

from .changes import CHANGES, facts

PART: Final = Part(
    "agent",
    section=None,
    types=("agentstack:agents:Agent",),
    builder="components.agent.component:build",
    facts=facts,
    changes=CHANGES,
)
