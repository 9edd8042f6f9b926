"""What the other rooms must know of the namespaces."""

from __future__ import annotations

from typing import Final

from components.part import Part

from .changes import CHANGES, facts

PART: Final = Part(
    "namespaces",
    section="namespaces",
    types=("agentstack:platform:Namespaces",),
    builder="components.namespaces.component:build",
    facts=facts,
    changes=CHANGES,
)
