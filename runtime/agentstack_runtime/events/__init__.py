"""Event sourcing: a state is what its events add up to, from a log, or from a snapshot and what came since."""

from __future__ import annotations

from .fold import Fold, Folded
from .log import replay
from .snapshot import restore, save

__all__ = ["Fold", "Folded", "replay", "restore", "save"]
