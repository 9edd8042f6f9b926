"""The guard of the whole stack: destructive changes of settings, as the parts declare them.

Most are refused by the engine, at preview and before anything changes; the rest is named by `agentstack diff`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from components.change import REMOVED, ChangeRule
from components.parts import PARTS
from settings import Settings

Facts = Mapping[str, str]
"""What decides where data is, how much of it has room and how long it stays, by the path of the setting."""


def facts(settings: Settings) -> Facts:
    """Return what a change of `settings` is compared by; the engine keeps it in its state, as the platform's inputs."""
    return {path: str(value) for part in PARTS for path, value in part.facts(settings).items()}


@dataclass(frozen=True)
class SettingChange:
    """A change of one setting, and what it costs."""

    path: str
    before: str
    after: str
    """`removed` if the setting is gone."""
    kind: ChangeRule

    @property
    def change(self) -> str:
        """The change as `platform.safeguards.accept` names it."""
        return f"{self.path}: {self.before} -> {self.after}"

    @property
    def way(self) -> str:
        """What keeps the data, and the last step where a person may let the change through."""
        accept = self.kind.refused and self.kind.acceptable
        return self.kind.way + (f", then add {self.change!r} to platform.safeguards.accept" if accept else "")

    def accepted(self, changes: Collection[str]) -> bool:
        """Whether a person has prepared it, so that the engine lets it through."""
        return self.kind.acceptable and self.change in changes


def destructive_changes(old: Facts, new: Facts) -> Iterator[SettingChange]:
    """Yield each destructive change from `old` to `new`, whether the engine refuses it or not."""
    for path, before in sorted(old.items()):
        after = new.get(path, REMOVED)
        for part in PARTS:
            for kind in part.changes:
                if kind.covers(path, before, after):
                    yield SettingChange(path, before, after, kind)


def refusals(old: Facts, new: Facts, accepted: Collection[str] = ()) -> Iterator[str]:
    """Yield a line per change from `old` to `new` that the engine refuses: what, why, and the way that works.

    `accepted` holds changes that a person has prepared, as the line names them: `redis.shards: 4 -> 3`.
    """
    for change in destructive_changes(old, new):
        if change.kind.refused and not change.accepted(accepted):
            yield f"{change.change}: {change.kind.reason}: {change.way}"
