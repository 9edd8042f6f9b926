"""What the other rooms must know of Kafka."""

from __future__ import annotations

from typing import Final

from components.part import Part

from .changes import CHANGES, facts

PART: Final = Part(
    "kafka",
    section="kafka",
    types=("agentstack:data:KafkaCluster",),
    builder="components.kafka.component:build",
    facts=facts,
    changes=CHANGES,
)
