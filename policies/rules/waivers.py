"""Findings that are accepted for a time: who answers for each, why, and until when."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from typing import Final

from .model import Severity, Violation, object_title

EXPIRED: Final = "waiver-expired"
UNUSED: Final = "waiver-unused"
"""The policies, beside the rules, that keep the waivers few and current."""


@dataclass(frozen=True)
class Waiver:
    """One entry of `waivers.yaml`: the findings of a rule on an object, or on those whose names fit a pattern."""

    rule: str
    kind: str
    namespace: str
    """Empty for an object that is in no namespace, or whose manifest names none."""
    name: str
    """With `*` for any text."""
    reason: str
    owner: str
    until: date
    """The last day, in UTC, on which it holds."""
    environments: tuple[str, ...] = ()
    """Empty: all."""
    line: int = 0
    """Where it begins in its file, from 1."""

    @property
    def resource(self) -> str:
        """The object as the file names it: `Kind/namespace/name`, or `Kind/name`."""
        return object_title(self.kind, self.namespace, self.name)

    @cached_property
    def _names(self) -> re.Pattern[str]:
        return re.compile(".*".join(map(re.escape, self.name.split("*"))), re.DOTALL)

    def is_about(self, kind: str, namespace: str, name: str) -> bool:
        """Whether it names this object."""
        return (self.kind, self.namespace) == (kind, namespace) and self._names.fullmatch(name) is not None

    def concerns(self, violation: Violation) -> bool:
        """Whether it names the rule and the object of `violation`."""
        return self.rule == violation.rule and self.is_about(violation.kind, violation.namespace, violation.name)

    def covers(self, violation: Violation) -> bool:
        """Whether it waives `violation`: what could not be evaluated may be anything, and is never waived."""
        return violation.outcome == "violation" and self.concerns(violation)


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
        """Say of a waiver that it is `EXPIRED` or `UNUSED`."""
        if rule == EXPIRED:
            what = f"held until {waiver.until} ({waiver.owner}); mend the object, or set a later day in `until`"
        else:
            place = f" in {self.environment}" if self.environment else ""
            mend = "remove it" if waiver.environments else "remove it, or name the environments that need it"
            what = f"waives nothing{place}; {mend}"
        object_ = (waiver.kind, waiver.namespace, waiver.name)
        return Violation(rule, severity, *object_, f"the waiver of {waiver.rule} {what}", waiver=waiver)
