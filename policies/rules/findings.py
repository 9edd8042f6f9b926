"""What a rule reports, and what of it is accepted for a time."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Literal

from manifests.manifest import Manifest, object_title

Severity = Literal["error", "warning"]
Outcome = Literal["violation", "not evaluated"]


@dataclass(frozen=True)
class Violation:
    """What a rule found on one object.

    `kind`, `namespace` and `name` identify the object: `namespace` is empty where the manifest gives none, and
    all three are empty when a rule over the stack could not be evaluated at all. `message` says what is wrong,
    where, and the mend; it never contains the value of an environment variable or of a Secret.
    """

    rule: str
    severity: Severity
    kind: str
    namespace: str
    name: str
    message: str
    path: str = ""
    """The field of the object that is at fault, such as `spec.template.spec.containers[0].image`; empty if none is."""
    outcome: Outcome = "violation"
    waiver: Waiver | None = None
    """The waiver that covers it, or that it is about."""
    subject: Manifest | None = field(default=None, compare=False, repr=False)
    """The object itself, of which there may be several with the same name; it may hold secrets."""

    @property
    def title(self) -> str:
        """The object as people write it; empty where it is about none."""
        return object_title(self.kind, self.namespace, self.name)

    @property
    def waived(self) -> bool:
        """Whether it is accepted for now."""
        return self.waiver is not None and self.waiver.rule == self.rule

    @property
    def fails(self) -> bool:
        """Whether it keeps the stack from being deployed."""
        return self.severity == "error" and not self.waived


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
