"""Findings that are accepted for a time: who answers for each, why, and until when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from .findings import Severity, Violation, Waiver

EXPIRED: Final = "waiver-expired"
UNUSED: Final = "waiver-unused"
"""The policies, beside the rules, that keep the waivers few and current."""


@dataclass(frozen=True)
class Waivers:
    """The waivers that name one environment, on one day: those that hold, and those that have expired."""

    environment: str
    """Empty outside of any; then only waivers without environments count."""
    holding: tuple[Waiver, ...] = ()
    expired: tuple[Waiver, ...] = ()

    @classmethod
    def of(cls, waivers: Iterable[Waiver], environment: str, today: date) -> Waivers:
        """Choose from `waivers` by the environment's name and the day in UTC."""
        here = [w for w in waivers if not w.environments or environment in w.environments]
        return cls(environment, tuple(w for w in here if today <= w.until), tuple(w for w in here if w.until < today))

    def about(self, rules: Iterable[str]) -> Waivers:
        """Those that are for one of `rules`, by their ids."""
        known = set(rules)
        chosen = ((w for w in waivers if w.rule in known) for waivers in (self.holding, self.expired))
        return Waivers(self.environment, *map(tuple, chosen))

    def covering(self, violation: Violation) -> Waiver | None:
        """The first waiver that covers `violation`, if any."""
        return next((waiver for waiver in self.holding if waiver.covers(violation)), None)

    def apply(self, violations: Iterable[Violation], levels: Mapping[str, Severity]) -> list[Violation]:
        """Mark what is waived, and add what is wrong with the waivers, with the severities in `levels`.

        A waiver whose rule could not be evaluated on its object is not called unused.
        """
        found = [replace(violation, waiver=self.covering(violation)) for violation in violations]
        unused = [w for w in self.holding if not any(w.concerns(violation) for violation in found)]
        for rule, waivers in ((EXPIRED, self.expired), (UNUSED, unused)):
            if rule in levels:
                found += [self.problem(rule, waiver, levels[rule]) for waiver in waivers]
        return found

    def problem(self, rule: str, waiver: Waiver, severity: Severity) -> Violation:
        """Return the finding that a waiver is `EXPIRED` or `UNUSED`."""
        if rule == EXPIRED:
            what = f"expired on {waiver.until} ({waiver.owner})"
            remedy = "fix the object, or set a later day in `until`"
        else:
            what = f"waives nothing in {self.environment}" if self.environment else "waives nothing"
            remedy = "remove it" if waiver.environments else "remove it, or name the environments that need it"
        object_ = (waiver.kind, waiver.namespace, waiver.name)
        return Violation(rule, severity, *object_, f"the waiver of {waiver.rule} {what}", remedy=remedy, waiver=waiver)
