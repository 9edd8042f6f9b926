"""What objects are for, as `agentstack explain` shows it; each part says it of its own (`Part.purposes`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from manifests.manifest import Manifest


@dataclass(frozen=True)
class Purpose:
    """What the objects of one kind are for, and what of an agent's declaration shapes them."""

    kind: str
    text: str | Callable[[Manifest], str]
    """A function where it depends on what the object has."""
    fields: tuple[str, ...] = ()
    """`field`, or `field: item` of a list; none where every agent has such an object. Nearly every field shapes the
    object that runs the pods, so its purpose names at most its kind's."""
    roles: tuple[str, ...] = ()
    """The values of the label `app.kubernetes.io/component`, where objects of other roles have another purpose."""

    def of(self, manifest: Manifest) -> str:
        """Return what an object of this kind is for."""
        return self.text if isinstance(self.text, str) else self.text(manifest)
