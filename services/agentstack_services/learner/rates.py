"""Running rates. Pure, and of constant size however many results they are made of."""

from __future__ import annotations

import hashlib
from typing import Final

from pydantic import BaseModel, ConfigDict

HALF_LIFE: Final = 50
"""Results after which an earlier one counts half in the recent rate. By number, not by time: it means the same for a
workflow that runs once a day as for one that runs every second. Of 50, one failure moves it by 1.4 points, which alarms
nobody, and eight in a row take it from 100 % below 90 %, which should."""
SEEN: Final = 1024
"""Ids that a record remembers. What comes twice does so within what the executors and consumers have in flight."""
_FADE: Final = 0.5 ** (1 / HALF_LIFE)
_DIGEST: Final = 12
"""Hexadecimal digits, 48 bits: a new id is taken for one of 1024 once in 10^11."""


class Rate(BaseModel):
    """What became of a workflow's tasks, or of a step's commands."""

    model_config = ConfigDict(extra="ignore")

    completed: int = 0
    failed: int = 0
    canceled: int = 0
    """By their clients, which is neither a success nor a failure."""
    mean: float = 0.0
    """Seconds; of those that completed: a failure may take no time at all, or all the time there is."""
    squares: float = 0.0
    """Sum of the squared distances from the mean, by Welford: exact where a sum of squares loses its digits."""
    recent: float = 0.0
    weight: float = 0.0
    """What `recent` is divided by, so that the first result does not count more than the others."""

    def add(self, outcome: str, seconds: float) -> None:
        """Count one more."""
        if outcome == "canceled":
            self.canceled += 1
            return
        success = outcome == "completed"
        self.recent, self.weight = self.recent * _FADE + success, self.weight * _FADE + 1
        if not success:
            self.failed += 1
            return
        self.completed += 1
        distance = seconds - self.mean
        self.mean += distance / self.completed
        self.squares += distance * (seconds - self.mean)

    @property
    def count(self) -> int:
        """All of them."""
        return self.completed + self.failed + self.canceled

    @property
    def success_rate(self) -> float | None:
        """Of those that were not cancelled, 0 to 1; None before the first."""
        ended = self.completed + self.failed
        return self.completed / ended if ended else None

    @property
    def recent_success_rate(self) -> float | None:
        """The same, with the last ones counting most: see `HALF_LIFE`."""
        return self.recent / self.weight if self.weight else None

    @property
    def variance(self) -> float | None:
        """Of the duration, in seconds squared, as of a sample; None before the second."""
        return self.squares / (self.completed - 1) if self.completed > 1 else None


class WorkflowRates(BaseModel):
    """What is kept of one workflow."""

    model_config = ConfigDict(extra="ignore")

    workflow: Rate = Rate()
    steps: dict[str, Rate] = {}
    seen: list[str] = []

    def add(self, step: str | None, message_id: str, outcome: str, seconds: float) -> bool:
        """Count the end of a step, or of a task where `step` is None; return whether it was new."""
        digest = hashlib.sha256(message_id.encode()).hexdigest()[:_DIGEST]
        if digest in self.seen:
            return False
        self.seen = [*self.seen, digest][-SEEN:]
        rate = self.workflow if step is None else self.steps.setdefault(step, Rate())
        rate.add(outcome, seconds)
        return True
