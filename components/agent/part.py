"""What the other rooms must know of agents."""

from __future__ import annotations

from typing import Final

from components.part import Part

from .changes import CHANGES, facts
from .origins import ORIGINS
from .purposes import PURPOSES
from .topology import AGENT, FLEET, JOB, topology

PART: Final = Part(
    "agent",
    section=None,
    types=("agentstack:agents:Agent",),
    builder="components.agent.component:build",
    facts=facts,
    changes=CHANGES,
    node_kinds=(AGENT, FLEET, JOB),
    topology=topology,
    purposes=PURPOSES,
    origins=ORIGINS,
    custom_kinds={
        "CiliumNetworkPolicy": "NetworkPolicy",
        "ExternalSecret": "Secret",
        "ScaledObject": "HorizontalPodAutoscaler",
        "TriggerAuthentication": "HorizontalPodAutoscaler",
    },
)
