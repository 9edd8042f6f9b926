"""Settings of the toy part."""

from __future__ import annotations

from typing import ClassVar

from .model import Demand, Resources, Section
from .types import Memory


class ToySettings(Section):
    """A part that does nothing, to see what adding one takes."""

    usable: ClassVar[bool] = True
    variables: ClassVar[frozenset[str]] = frozenset({"TOY_HOST", "TOY_KEY"})

    greeting: str = "hello"
    storage: Memory = Memory("1Gi")
    resources: Resources = Resources.of("10m", "32Mi", "100m", "64Mi")

    def demands(self) -> dict[str, list[Demand]]:
        """Return its one pod."""
        return {"data": [Demand(source="toy", minimum=1, maximum=1, containers=(self.resources,))]}
