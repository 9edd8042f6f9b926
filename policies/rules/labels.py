"""Labels and annotations that rules read and components write: a contract, so each has its name here alone."""

from __future__ import annotations

from typing import Final

DEVICES: Final = "agentstack.dev/devices"
"""The annotation of a fleet's PodTemplate with the number of its devices."""
POOL: Final = "agentstack.dev/pool"
"""The label of pods that may run in one pool of nodes only: its name."""
TEAM: Final = "agentstack.dev/team"
"""The label of the team that an agent belongs to: its name."""
