"""What the other rooms must know of the toy part."""

from __future__ import annotations

from typing import Final

from components.change import ChangeRule, shrunk
from components.part import Exporter, Part
from components.purpose import Purpose
from settings import Settings

from .topology import NODE, TOY, topology

METRICS_PORT: Final = 9102


def _facts(settings: Settings) -> dict[str, object]:
    return {"toy.storage": settings.toy.storage}


PART: Final = Part(
    "toy",
    section="toy",
    types=("agentstack:toy:Toy",),
    exporters=(Exporter("data", METRICS_PORT),),
    builder="components.toy.component:build",
    facts=_facts,
    changes=(ChangeRule("toy.storage", shrunk, "toys do not fit into a smaller box", "give some away first"),),
    node_kinds=(TOY,),
    topology=topology,
    node=NODE,
    purposes=(Purpose("Secret", "its own key to the toy box", ("uses: toy",)),),
)
