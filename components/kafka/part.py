"""What the other rooms must know of Kafka."""

from __future__ import annotations

from typing import Final

from components.part import Exporter, Part
from components.purpose import Purpose

from .changes import CHANGES, facts
from .topology import KAFKA, NODE, TOPIC, topology

EXPORTER_PORT: Final = 9308

PART: Final = Part(
    "kafka",
    section="kafka",
    types=("agentstack:data:KafkaCluster",),
    exporters=(Exporter("data", EXPORTER_PORT),),
    builder="components.kafka.component:build",
    facts=facts,
    changes=CHANGES,
    node_kinds=(KAFKA, TOPIC),
    topology=topology,
    node=NODE,
    purposes=(Purpose("Secret", "its own user of Kafka", ("uses: kafka", "consumes", "produces")),),
)
