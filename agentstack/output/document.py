"""What a diff has to say, without a format: sections of lines and tables, for a terminal or a pull request.

Text is never trusted to be free of markup: each renderer escapes it. What comes from the files of a change, such as
names and values, is `Code`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from manifests.text import escaped

Mark = Literal["bad", "warn", "good", "none"]
"""How a line or section is to be seen: refused, worth a look, fine, or neutral."""


@dataclass(frozen=True)
class Code:
    """A name, a value or a command, shown in a fixed width."""

    text: str


Line: TypeAlias = str | Code | tuple[str | Code, ...]
"""One line; its parts follow one another without a space. In text, `backticks` make code."""


@dataclass(frozen=True)
class Lines:
    """A list of lines."""

    items: tuple[Line, ...]
    mark: Mark = "none"


@dataclass(frozen=True)
class Table:
    """Rows of cells under headers; a header that begins with `>` has its column flush right."""

    headers: tuple[str, ...]
    rows: tuple[tuple[Line, ...], ...]


@dataclass(frozen=True)
class Fenced:
    """Text shown as it is; `language` is `diff`, `mermaid`, `yaml` or empty."""

    text: str
    language: str = ""


@dataclass(frozen=True)
class Fold:
    """Details behind a line, opened by a click where the format can."""

    title: Line
    blocks: tuple[Block, ...]


Block: TypeAlias = Lines | Table | Fenced | Fold


@dataclass(frozen=True)
class Section:
    """One part of the document; the first sections are the most important ones, and the last to be cut."""

    title: str
    blocks: tuple[Block, ...]
    mark: Mark = "none"
    appendix: bool = False
    """Whether it is left out on a terminal, of which it would fill many screens."""


@dataclass(frozen=True)
class Chapter:
    """What there is to say of one environment."""

    environment: str
    verdict: str
    mark: Mark
    sections: tuple[Section, ...]
    command: str
    """What shows it whole on a terminal."""


@dataclass(frozen=True)
class Document:
    """All environments: first one table with the verdicts, then a chapter each."""

    title: Line
    summary: Table
    """Each environment's name, its verdict, and what else counts; in the order of the chapters."""
    notes: Lines
    """What is to be known of the comparison itself."""
    chapters: tuple[Chapter, ...]
    foot: Line
    """What it is made from, and how to make it again."""


def visible(text: str) -> str:
    """Return text that can neither move a cursor nor turn its direction; line breaks and tabs stay."""
    return "\n".join("\t".join(map(escaped, line.split("\t"))) for line in text.split("\n"))


def parts(line: Line) -> tuple[str | Code, ...]:
    """Return the parts of a line; what stands in backticks is code as well."""
    found: list[str | Code] = []
    for part in line if isinstance(line, tuple) else (line,):
        if isinstance(part, Code):
            found.append(part)
            continue
        for number, text in enumerate(re.split(r"`([^`]+)`", part)):
            if text:
                found.append(Code(text) if number % 2 else text)
    return tuple(found)
