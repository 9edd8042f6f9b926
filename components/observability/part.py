"""What the other rooms must know of observability."""

from __future__ import annotations

from typing import Final

from components.part import Part

PART: Final = Part("observability", section="observability", types=("agentstack:observability:Observability",))
