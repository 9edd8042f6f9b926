"""The sections of Pulumi.ENV.yaml, one for each part of the stack.

To add one, derive its settings from `Section` in a module of their own, and name them here: what agents can use, which
variables are then taken, and what its pods ask for is read from there.
"""

from __future__ import annotations

from typing import Final

from .inference import InferenceSettings
from .kafka import KafkaSettings
from .model import Model, Section, Usable
from .observability import ObservabilitySettings
from .platform import GatewaySettings, NamespacesSettings, PlatformSettings
from .redis import RedisSettings
from .workflows import Workflow


class Sections(Model):
    """What an environment says of the stack, apart from its agents."""

    platform: PlatformSettings = PlatformSettings()
    namespaces: NamespacesSettings = NamespacesSettings()
    redis: RedisSettings = RedisSettings()
    kafka: KafkaSettings = KafkaSettings()
    observability: ObservabilitySettings = ObservabilitySettings()
    gateway: GatewaySettings = GatewaySettings()
    inference: InferenceSettings = InferenceSettings()

    @property
    def sections(self) -> dict[str, Section]:
        """Each of them, by its key in Pulumi.ENV.yaml."""
        return {name: getattr(self, name) for name in SECTIONS}


SECTIONS: Final[dict[str, type[Section]]] = {
    name: field.annotation
    for name, field in Sections.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
}
"""What each of them is, by its key in Pulumi.ENV.yaml behind `agentstack:`."""

CONNECTED: Final[dict[str, type[Usable]]] = {**SECTIONS, "workflows": Workflow}
"""What agents can connect to, by the name of the part: the sections, and what has files of its own."""

USABLE: Final = tuple(name for name, part in CONNECTED.items() if part.usable)
"""The keys that agents can name in `uses`."""
