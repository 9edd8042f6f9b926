"""What the other rooms must know of observability."""

from __future__ import annotations

from typing import Final

from components.part import Part

from .changes import CHANGES, facts
from .topology import NODE, NODE_OF_PROGRAM, OBSERVABILITY, topology

PART: Final = Part(
    "observability",
    section="observability",
    types=("agentstack:observability:Observability",),
    builder="components.observability.component:build",
    facts=facts,
    changes=CHANGES,
    node_kinds=(OBSERVABILITY,),
    topology=topology,
    node=NODE,
    node_of_program=NODE_OF_PROGRAM,
)
