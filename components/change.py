"""Changes of settings that destroy data, a protection, or the service for a while. Imports no Pulumi."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal

from settings import Memory
from settings.types import duration

REMOVED: Final = "removed"
"""The value of a setting that is gone."""

Cost = Literal["data", "protection", "availability"]
"""What a change costs: data; what keeps somebody from losing it; or the service for a while."""


@dataclass(frozen=True)
class ChangeRule:
    """One kind of change of the settings that match `paths`, declared by the part that these settings belong to."""

    paths: str
    """The path of a setting, with wildcards where it stands for several."""
    matches: Callable[[str, str], bool]
    """Whether going from one value to another is such a change."""
    reason: str
    way: str
    """What keeps the data."""
    section: str = "changes-that-are-refused"
    """Where docs/data.md has the steps."""
    acceptable: bool = True
    """Whether there are steps that prepare the stack for the change, after which a person may accept it."""
    costs: Cost = "data"
    refused: bool = True
    """Whether the engine refuses it; not where the setting itself says what it deletes."""

    def covers(self, path: str, before: str, after: str) -> bool:
        """Whether the setting at `path` makes such a change."""
        return fnmatchcase(path, self.paths) and self.matches(before, after)


def changed(before: str, after: str) -> bool:
    """Whether the value is another one."""
    return after not in (before, REMOVED)


def removed(before: str, after: str) -> bool:
    """Whether the setting is gone."""
    return after == REMOVED


def lowered(before: str, after: str) -> bool:
    """Whether a number is smaller."""
    return after != REMOVED and int(after) < int(before)


def shrunk(before: str, after: str) -> bool:
    """Whether a quantity of bytes is smaller."""
    return after != REMOVED and Memory(after).amount < Memory(before).amount


def shortened(before: str, after: str) -> bool:
    """Whether a duration is shorter."""
    return after != REMOVED and duration(after) < duration(before)


NEW_CLAIMS: Final = "smaller-volumes-another-class"
NAMED: Final = "changes-that-are-named"
"""Sections of docs/data.md."""


def smaller_claims(path: str) -> ChangeRule:
    """Smaller volumes of a StatefulSet, whose size is the setting at `path`."""
    return ChangeRule(path, shrunk, "a claim never shrinks", "give the nodes new claims first", NEW_CLAIMS)


def moved_outside(path: str) -> ChangeRule:
    """A cluster of the stack given up for an external one, by the mode at `path`."""
    return ChangeRule(
        path,
        lambda before, after: after == "external" != before,
        "the cluster's data does not move with it",
        "move it, or be sure that nobody needs it",
        "deleting-deliberately",
    )
