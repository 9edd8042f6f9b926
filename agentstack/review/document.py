"""A change as people read it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from agentstack.compare.base import Base
from agentstack.output.document import Chapter, Code, Document, Fenced, Line, Lines, Section, Table

from .result import Result


def document(base: Base, results: Sequence[Result]) -> Document:
    """Return all there is to say of a change, for a terminal or a pull request."""
    headers = list(dict.fromkeys(part.cell[0] for result in results for part in result.parts if part.cell))
    rows: list[tuple[Line, ...]] = []
    for result in results:
        cells = dict(part.cell for part in result.parts if part.cell)
        verdict, _ = result.verdict()
        rows.append((Code(result.environment), verdict, *(cells.get(header, "-") for header in headers)))
    notes: list[Line] = [
        (Code(result.environment), ": is new, the base has no file of it: everything is added")
        for result in results
        if result.new
    ]
    asked = {result.environment for result in results}
    notes += [
        (
            Code(name),
            ": its file is gone. Nothing above says what that destroys: ",
            Code(f"pulumi destroy --stack {shlex.quote(name)}"),
        )
        for name in base.gone
        if name not in asked
    ]
    if base.other_packages:
        notes.append(
            ("The base's ", Code("requirements.txt"), " differs; its code ran with the working tree's packages.")
        )
    return Document(
        ("Agent Stack: what changes since ", Code(base.title)),
        Table(("environment", "verdict", *headers), tuple(rows)),
        Lines(tuple(notes), "warn" if base.gone else "none"),
        tuple(_chapter(base, result) for result in results),
        (
            "Both revisions are rendered from their files, without a cluster. The same on a terminal: ",
            Code(_command(base, *(result.environment for result in results))),
        ),
    )


def _chapter(base: Base, result: Result) -> Chapter:
    verdict, mark = result.verdict()
    sections = tuple(section for part in result.parts for section in part.sections)
    if result.error is not None:
        sections = (Section("It cannot be rendered", (Fenced(result.error),), "bad"),)
    return Chapter(result.environment, verdict, mark, sections, _command(base, result.environment))


def _command(base: Base, *environments: str) -> str:
    """Return what people paste into a shell: file names, and so environments, may hold anything."""
    return shlex.join(("agentstack", "diff", *environments, "--base", base.revision))
