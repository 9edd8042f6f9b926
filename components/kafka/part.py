"""What the other rooms must know of Kafka."""

from __future__ import annotations

from typing import Final

from components.part import Part
from components.purpose import Purpose

from .topology import KAFKA, NODE, TOPIC, topology

PART: Final = Part(
    "kafka",
    section="kafka",
    types=("agentstack:data:KafkaCluster",),
    node_kinds=(KAFKA, TOPIC),
    topology=topology,
    node=NODE,
    purposes=(Purpose("Secret", "its own user of Kafka", ("uses: kafka", "consumes", "produces")),),
)
