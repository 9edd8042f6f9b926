"""Labels and annotations that rules read and components write: a contract, so each has its name here alone."""

from __future__ import annotations

from typing import Final

CONFIG_HASH: Final = "agentstack.dev/config-hash"
"""The annotation of pods that restart when their configuration changes."""
DEVICES: Final = "agentstack.dev/devices"
"""The annotation of a fleet's PodTemplate with the number of its devices."""
POOL: Final = "agentstack.dev/pool"
"""The label of pods that may run in one pool of nodes only: its name."""
SECRET_HASH: Final = "agentstack.dev/secret-hash"
"""The annotation of pods that restart when a secret's value changes."""
SECRET_KEYS: Final = "agentstack.dev/secret-keys"
"""The annotation of a Secret that was written without its values: the keys that it has in the cluster."""
TEAM: Final = "agentstack.dev/team"
"""The label of the team that an agent belongs to: its name."""
TRACK: Final = "agentstack.dev/track"
"""The label of an agent's pods that says which side of a release they are: stable or canary, blue or green."""
