"""A finding of the policies as published: in the JSON of a preview, of a check and of a diff."""

from __future__ import annotations

from agentstack.output.published import Published
from policies.rules import Violation


class Place(Published):
    """The line that makes a finding so."""

    file: str = ""
    """From the repository's root, with slashes."""
    line: int = 0
    """From 1."""


class Waived(Published):
    """By whom a finding is waived, and why."""

    owner: str
    reason: str
    until: str
    """The last day, in UTC: `2026-12-01`."""


class FindingReport(Published):
    """What a rule found."""

    rule: str = ""
    severity: str = ""
    """`error` or `warning`."""
    outcome: str = ""
    """`violation`, or why the rule could not be evaluated."""
    kind: str = ""
    """Of the object; empty for a finding that is about none."""
    namespace: str = ""
    name: str = ""
    message: str = ""
    """`what` and `remedy` in one line."""
    path: str = ""
    """The field of the object that is at fault; empty where none is."""
    what: str = ""
    remedy: str = ""
    waived: Waived | None = None

    @property
    def fails(self) -> bool:
        """Whether it refuses the stack."""
        return self.waived is None and self.severity == "error"


class PlacedFindingReport(FindingReport):
    """What a rule found, with the line that makes it so."""

    place: Place = Place()

    @classmethod
    def of(cls, violation: Violation, file: str, line: int) -> PlacedFindingReport:
        """Return a violation as published, with its place."""
        waiver = violation.waiver if violation.waived else None
        return cls(
            rule=violation.rule,
            severity=violation.severity,
            outcome=violation.outcome,
            kind=violation.kind,
            namespace=violation.namespace,
            name=violation.name,
            message=violation.message,
            path=violation.path,
            what=violation.what,
            remedy=violation.remedy,
            waived=waiver and Waived(owner=waiver.owner, reason=waiver.reason, until=waiver.until.isoformat()),
            place=Place(file=file, line=line),
        )
