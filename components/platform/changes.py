"""What protects all data and where its volumes are, and which changes of that cost it. Imports no Pulumi."""

from __future__ import annotations

from typing import Final

from components.change import NEW_CLAIMS, ChangeRule, changed
from settings import Settings

_DEFAULT_CLASS = "the default"


def facts(settings: Settings) -> dict[str, object]:
    """Return what a change is compared by."""
    platform = settings.platform
    return {
        "platform.safeguards.protectData": "on" if platform.safeguards.protect_data else "off",
        "platform.storageClass": platform.storage_class or _DEFAULT_CLASS,
    }


CHANGES: Final = (
    ChangeRule(
        "platform.storageClass", changed, "a claim keeps its class", "give the nodes new claims first", NEW_CLAIMS
    ),
    ChangeRule(
        "platform.safeguards.protectData",
        lambda before, after: (before, after) == ("on", "off"),
        "nothing is deleted now, but from then on the engine deletes what is removed or replaced, claims included",
        "leave it on but to delete the environment",
        "deleting-deliberately",
        costs="protection",
        refused=False,
    ),
)
