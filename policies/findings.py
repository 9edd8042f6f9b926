"""What a rule reports, and what of it is accepted for a time."""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass, field
from datetime import date
from functools import cached_property
from typing import Literal

from manifests.manifest import Manifest, object_title

Severity = Literal["error", "warning"]
Outcome = Literal["violation", "not evaluated"]


@dataclass(frozen=True)
class Finding:
    """What a rule yields for one mistake on its subject.

    No text ever contains the value of an environment variable or of a Secret.
    """

    what: str
    """What is wrong, and where."""
    path: str = ""
    """The field to change, as `manifests.fields.path_to` writes it, also where it has yet to be added.

    Empty where no field of the subject is the mistake: something is missing beside it.
    """
    remedy: str = ""
    """How to fix it, where that is more exact than the remedy of the rule."""


@dataclass(frozen=True)
class Violation:
    """A finding with its rule and its object.

    `kind`, `namespace` and `name` identify the object: `namespace` is empty where the manifest gives none, and
    all three are empty when a rule over the stack could not be evaluated at all.
    """

    rule: str
    severity: Severity
    kind: str
    namespace: str
    name: str
    what: str
    """See `Finding`; it never contains the value of an environment variable or of a Secret."""
    _: KW_ONLY
    path: str = ""
    remedy: str = ""
    outcome: Outcome = "violation"
    waiver: Waiver | None = None
    """The waiver that covers it, or that it is about."""
    subject: Manifest | None = field(default=None, compare=False, repr=False)
    """The object itself, of which there may be several with the same name; it may hold secrets."""

    @property
    def message(self) -> str:
        """All of it as one sentence."""
        return f"{self.what}; {self.remedy}" if self.remedy else self.what

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
