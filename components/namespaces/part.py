"""What the other rooms must know of the namespaces."""

from __future__ import annotations

from typing import Final

from components.part import Part

PART: Final = Part("namespaces", section="namespaces", types=("agentstack:platform:Namespaces",))
