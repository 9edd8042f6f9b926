"""What the other rooms must know of inference."""

from __future__ import annotations

from typing import Final

from components.part import Part
from components.purpose import Purpose

from .topology import BACKEND, NODE, topology

PART: Final = Part(
    "inference",
    section="inference",
    types=("agentstack:inference:ModelServer",),
    builder="components.inference.component:build",
    node_kinds=(BACKEND,),
    topology=topology,
    node=NODE,
    purposes=(Purpose("Secret", "the key of the stack's model server", ("inference",)),),
)
