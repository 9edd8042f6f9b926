"""What the other rooms must know of workflows."""

from __future__ import annotations

from typing import Final

from components.part import Part
from components.purpose import Purpose

from .topology import NODE, WORKFLOWS, topology

PART: Final = Part(
    "workflows",
    section=None,
    types=("agentstack:workflows:Workflows",),
    builder="components.workflows.component:build",
    node_kinds=(WORKFLOWS,),
    topology=topology,
    node=NODE,
    purposes=(Purpose("ConfigMap", "the workflows, renewed without a restart", ("uses: workflows",)),),
)
