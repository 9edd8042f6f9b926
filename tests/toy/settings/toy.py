"""Settings of the toy part."""

from __future__ import annotations

from .model import Model, Resources
from .types import Memory


class ToySettings(Model):
    """A part that does nothing, to see what adding one takes."""

    greeting: str = "hello"
    storage: Memory = Memory("1Gi")
    resources: Resources = Resources.of("10m", "32Mi", "100m", "64Mi")
