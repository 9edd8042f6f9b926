"""What the other rooms must know of Kafka."""

from __future__ import annotations

from typing import Final

from components.part import Part

PART: Final = Part("kafka", section="kafka", types=("agentstack:data:KafkaCluster",))
