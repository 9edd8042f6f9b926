"""What the policies found in two revisions: what is new, what is solved, and what was there before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from agentstack.judging.finding import FindingReport
from agentstack.output.document import Block, Code, Fold, Mark, Section, Table
from agentstack.output.published import Published
from manifests.manifest import object_title

from .model import Change
from .snapshot import Key, Snapshot


class FindingsReport(Published):
    """What the policies found in both revisions."""

    new: tuple[FindingReport, ...]
    solved: tuple[FindingReport, ...]
    left: tuple[FindingReport, ...]
    """Those that were there before."""


@dataclass(frozen=True)
class Findings:
    """What the policies found in both revisions."""

    new: Sequence[FindingReport]
    solved: Sequence[FindingReport]
    left: Sequence[FindingReport]

    @classmethod
    def of(cls, before: Snapshot, after: Snapshot, changes: Iterable[Change] = ()) -> Findings:
        """Tell what is new from what was there; one whose message alone, or object's name, differs is the same."""
        formerly = {change.after.key: change.before.key for change in changes if change.before and change.after}
        old = Counter(map(_identity, before.summary.policies))
        new: list[FindingReport] = []
        left: list[FindingReport] = []
        for finding in after.summary.policies:
            identity = _identity(finding, formerly)
            known = old[identity] > 0
            old[identity] -= known
            (left if known else new).append(finding)
        solved = []
        for finding in before.summary.policies:
            if old[_identity(finding)] > 0:
                old[_identity(finding)] -= 1
                solved.append(finding)
        return cls(new, solved, left)

    def summary(self) -> str:
        """Say how many there are, in a cell of a table."""
        waived = sum(finding.waived is not None for finding in (*self.new, *self.left))
        numbers = {"new": len(self.new), "solved": len(self.solved), "waived": waived}
        words = [f"{number:,} {word}" for word, number in numbers.items() if number]
        return ", ".join([f"{len(self.new) + len(self.left):,}", *words])

    def section(self) -> Section | None:
        """New findings first; None where there are none at all."""
        if not (self.new or self.solved or self.left):
            return None
        blocks: list[Block] = []
        if self.new:
            blocks.append(_table(self.new))
        for word, findings in (("solved", self.solved), ("there before", self.left)):
            if findings:
                blocks.append(Fold(f"{len(findings):,} {word}", (_table(findings),)))
        mark: Mark = "none"
        if any(finding.fails for finding in (*self.new, *self.left)):
            mark = "bad"
        elif any(finding.waived is None for finding in self.new):
            mark = "warn"
        counts = f"{len(self.new):,} new, {len(self.solved):,} solved, {len(self.left):,} there before"
        return Section(f"Policy findings: {counts}", tuple(blocks), mark)

    def published(self) -> FindingsReport:
        """Return them as published: without their places, which a diff shows at the lines themselves."""
        new, solved, left = (tuple(map(_without_place, found)) for found in (self.new, self.solved, self.left))
        return FindingsReport(new=new, solved=solved, left=left)


def _without_place(finding: FindingReport) -> FindingReport:
    return FindingReport.model_construct(**{name: getattr(finding, name) for name in FindingReport.model_fields})


def _identity(finding: FindingReport, formerly: Mapping[Key, Key] | None = None) -> tuple[str, ...]:
    key = (finding.kind, finding.namespace, finding.name)
    return (finding.rule, finding.outcome, *(formerly or {}).get(key, key))


def _table(findings: Sequence[FindingReport]) -> Table:
    ordered = sorted(findings, key=lambda finding: (not finding.fails, finding.rule))
    return Table(
        ("severity", "rule", "object", "what is wrong, and the fix"),
        tuple(
            (
                "waived" if finding.waived is not None else finding.severity,
                Code(finding.rule),
                Code(object_title(finding.kind, finding.namespace, finding.name)),
                finding.message,
            )
            for finding in ordered
        ),
    )
