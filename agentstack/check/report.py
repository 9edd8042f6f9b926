"""What a check found: for people, and as JSON."""

from __future__ import annotations

import pathlib
from collections import Counter
from collections.abc import Sequence
from typing import Final

from rich.text import Text

from agentstack.judging.finding import PlacedFindingReport
from agentstack.judging.locate import relative, repository
from agentstack.output.console import new_console
from agentstack.output.published import Published
from manifests.text import escaped

from .judge import STDIN, STREAM, Checked, LocatedFinding, number_of

_INDENT: Final = "    "
_MANY: Final = 10
"""With more findings, those of each rule are counted."""


class CheckReport(Published):
    """What `agentstack check --json` prints."""

    failed: bool
    """Whether a rule of severity `error` is violated, or could not be evaluated, and nobody waives it."""
    files: int
    """How many were read."""
    objects: int
    """How many were judged."""
    rules: int
    """How many judged them."""
    not_applied: tuple[str, ...]
    """The ids of the rules that need all objects of a stack."""
    findings: tuple[PlacedFindingReport, ...]
    notes: tuple[str, ...]
    """What was left out, and what to keep in mind."""
    mistakes: tuple[str, ...]
    """What could not be read."""


def findings(checked: Checked) -> tuple[PlacedFindingReport, ...]:
    """Return the findings as published; files from the root of their repository."""
    folder = pathlib.Path() if checked.source == STREAM else pathlib.Path(checked.source)
    root = repository(folder if folder.is_dir() else folder.parent)
    return tuple(
        PlacedFindingReport.of(
            finding.violation,
            STDIN if finding.file == STDIN else relative(pathlib.Path(finding.file), root),
            finding.line,
        )
        for finding in checked.findings
    )


def published(checked: Checked) -> CheckReport:
    """Return all of it as published."""
    return CheckReport(
        failed=checked.failed,
        files=checked.contents.files,
        objects=len(checked.objects),
        rules=len(checked.rules),
        not_applied=tuple(checked.not_applied),
        findings=findings(checked),
        notes=tuple(checked.notes),
        mistakes=tuple(checked.contents.mistakes),
    )


def show(checked: Checked) -> None:
    """Print it for people, with colours on a terminal."""
    console = new_console()
    counts = f"{number_of(len(checked.objects), 'object')} in {number_of(checked.contents.files, 'file')}"
    title = Text.assemble((f"Agent Stack · check {escaped(checked.source)}", "bold"))
    console.print(title, Text(f"  {counts}, {number_of(len(checked.rules), 'rule')}"))
    for finding in checked.findings:
        violation = finding.violation
        word = "waived" if violation.waived else violation.severity
        style = {"error": "red", "warning": "yellow"}.get(word, "dim")
        where = escaped(f"{finding.file}:{finding.line}")
        console.print(Text.assemble(where, "  ", (f"{word}  {violation.rule}", style)), soft_wrap=True)
        what = f"{violation.title}: {violation.message}" if violation.kind else violation.message
        if violation.waived and (waiver := violation.waiver):
            what += f" (waived until {waiver.until}, {waiver.owner}: {waiver.reason})"
        for line in Text(escaped(what)).wrap(console, max(20, console.width - len(_INDENT))):
            line.rstrip()
            console.print(Text.assemble(_INDENT, line))
    console.print(Text.assemble(("found  ", "bold"), _summary(checked.findings)))
    by_rule = Counter(finding.violation.rule for finding in checked.findings)
    if len(checked.findings) > _MANY:
        counts = ", ".join(f"{rule} {number:,}" for rule, number in by_rule.most_common())
        console.print(Text.assemble(("rules  ", "bold"), counts))
    for note in checked.notes:
        console.print(Text.assemble(("note   ", "bold"), (escaped(note), "dim")))
    if checked.not_applied:
        why = f"not applied, since they need all objects of a stack: {', '.join(checked.not_applied)}"
        console.print(Text.assemble(("note   ", "bold"), (why, "dim")))


def _summary(findings: Sequence[LocatedFinding]) -> str:
    counted = Counter("waived" if f.violation.waived else f.violation.severity for f in findings)
    parts = [number_of(counted[word], word) for word in ("error", "warning") if counted[word]]
    parts += [f"{counted['waived']} waived"] if counted["waived"] else []
    return ", ".join(parts) or "nothing"
