"""A document as a pull request's comment, in GitHub flavoured Markdown.

Everything in it may come from a stranger's files: no text of theirs becomes markup, a mention, a reference or a link.
https://github.github.com/gfm/
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeVar

from manifests.text import cut

from .document import Block, Chapter, Code, Document, Fenced, Fold, Line, Lines, Mark, Section, Table, parts, visible

_T = TypeVar("_T")
_WIDEST: Final = 120
"""The most characters of a table's row that fit into a comment."""

MARKER: Final = "<!-- agentstack diff -->"
"""The first line, by which the comment is found again."""
LIMIT: Final = 60_000
"""The most bytes of a comment; GitHub takes 65,536 characters."""

_SIGNS: Final[dict[Mark, str]] = {"bad": "❌ ", "warn": "⚠️ ", "good": "✅ ", "none": ""}
_LONGEST_FENCE: Final = 8_000
_LONGEST_CODE: Final = 300
_LONGEST_MESSAGE: Final = 20_000
# What Markdown, HTML or GitHub's mathematics could begin with.
_MARKUP: Final = str.maketrans({char: f"&#{ord(char)};" for char in "\\`*_[]<>&|~$^{}"})
_GAP: Final = "&#8203;"
_FOOT: Final = 400
"""Kept free for the frame of a section, and for the line that says how much is left out."""


def comment(document: Document, *, limit: int = LIMIT, marker: str = MARKER) -> str:
    """Return the comment, of at most `limit` bytes: what does not fit is counted, the least important first.

    `marker` is its first line, an HTML comment.
    """
    verdicts = (
        (row[0], (_SIGNS[chapter.mark], *parts(row[1])), *row[2:])
        for row, chapter in zip(document.summary.rows, document.chapters, strict=True)
    )
    head = [marker, f"## {_line(document.title)}", _table(document.summary, verdicts)]
    if document.notes.items:
        head.append(_lines(document.notes, document.notes.items))
    several = len(document.chapters) > 1
    drafts = [[_Draft(section) for section in chapter.sections] for chapter in document.chapters]
    foot = f"<sub>{_line(document.foot)}</sub>"
    left = limit - _size("\n\n".join([*head, foot, ""]))
    left -= sum(_size(_title(chapter)) + _FOOT for chapter in document.chapters)
    left -= sum(_size(section.title) + _FOOT for chapter in document.chapters for section in chapter.sections)
    for rank in range(max(map(len, drafts), default=0)):
        ranked = [sections[rank] for sections in drafts if rank < len(sections)]
        for number, draft in enumerate(ranked):
            left -= draft.fill(left // (len(ranked) - number))
    texts = list(head)
    for chapter, sections in zip(document.chapters, drafts, strict=True):
        texts += [_title(chapter)] if several and sections else []
        texts += [draft.text() for draft in sections if draft.shown]
        if lost := sum(draft.lost for draft in sections):
            entries = "entry is" if lost == 1 else "entries are"
            texts.append(f"**{lost:,} more {entries} not shown**: run {_code(chapter.command)}")
    return "\n\n".join([*texts, foot]) + "\n"


def failure(message: str) -> str:
    """Return the comment where nothing can be compared: the message, as it is."""
    shown = visible(message)[:_LONGEST_MESSAGE]
    return f"{MARKER}\n\n## {_SIGNS['bad']}Agent Stack: this change cannot be judged\n\n{_fence(shown, '')}\n"


def _title(chapter: Chapter) -> str:
    return f"### {_SIGNS[chapter.mark]}{_code(chapter.environment)}: {_text(chapter.verdict)}"


class _Draft:
    """A section, as much of it as fits."""

    def __init__(self, section: Section) -> None:
        self._section = section
        self._texts: list[str] = []
        self.shown = 0
        self.lost = 0

    def fill(self, room: int) -> int:
        """Take in what fits in so many bytes, and return how many it takes."""
        filled = _Filled(room)
        filled.add_all(self._section.blocks)
        self._texts, self.shown, self.lost = filled.texts, filled.shown, filled.lost
        return room - filled.room

    def text(self) -> str:
        body = "\n\n".join(self._texts)
        sign = _SIGNS[self._section.mark]
        if self._section.mark in ("bad", "warn"):
            return f"#### {sign}{_text(self._section.title)}\n\n{body}"
        return _details(f"<b>{sign}{_html_text(self._section.title)}</b>", body)


@dataclass
class _Filled:
    """Texts of blocks, within a number of bytes."""

    room: int
    texts: list[str] = field(default_factory=list)
    shown: int = 0
    lost: int = 0

    def add_all(self, blocks: Iterable[Block]) -> None:
        for block in blocks:
            match block:
                case Lines():
                    rendered = [(item, _size(_item(block, item)) + 1) for item in block.items]
                    kept = self._fitting(rendered)
                    self._take(_lines(block, kept), len(kept), len(block.items))
                case Table() if _is_wide(block):
                    records = self._fitting([(text, _size(text) + 1) for text in _records(block)])
                    self._take("\n".join(records), len(records), len(block.rows))
                case Table():
                    self.room -= _size(_table(block, ()))
                    rows = self._fitting([(row, _size(_row(row)) + 1) for row in block.rows])
                    self._take(_table(block, rows), len(rows), len(block.rows))
                case Fenced():
                    text = _fence(_shortened(block.text), block.language)
                    fits = self._fitting([(text, _size(text) + 2)])
                    self._take(text, len(fits), 1)
                case Fold():
                    summary = _html(block.title)
                    inner = _Filled(self.room - _size(_details(summary, "")) - 2)
                    inner.add_all(block.blocks)
                    if inner.shown:
                        self.room = inner.room
                    self._take(_details(summary, "\n\n".join(inner.texts)), inner.shown, inner.shown + inner.lost)

    def _fitting(self, sized: Iterable[tuple[_T, int]]) -> list[_T]:
        kept = []
        for item, size in sized:
            if size <= self.room:
                self.room -= size
                kept.append(item)
        return kept

    def _take(self, text: str, shown: int, total: int) -> None:
        if shown:
            self.texts.append(text)
        self.shown += shown
        self.lost += total - shown


def _shortened(text: str) -> str:
    if _size(text) <= _LONGEST_FENCE:
        return text
    kept: list[str] = []
    size = 0
    lines = text.split("\n")
    for line in lines:
        size += _size(line) + 1
        if size > _LONGEST_FENCE:
            break
        kept.append(line)
    return "\n".join([*kept, f"... {len(lines) - len(kept):,} more lines"])


def _lines(block: Lines, items: Iterable[Line]) -> str:
    return "\n".join(_item(block, item) for item in items)


def _item(block: Lines, item: Line) -> str:
    text = _line(item)
    # What stands first could make a list of the item.
    text = re.sub(r"^(\d*)([-+.)])", lambda match: f"{match[1]}&#{ord(match[2])};", text)
    return f"- {_SIGNS[block.mark]}{text}"


def _table(table: Table, rows: Iterable[tuple[Line, ...]]) -> str:
    rules = "|".join("--:" if header.startswith(">") else "---" for header in table.headers)
    headers = tuple(header.removeprefix(">") for header in table.headers)
    return "\n".join([_row(headers), f"|{rules}|", *map(_row, rows)])


def _row(cells: Iterable[Line]) -> str:
    return f"| {' | '.join(map(_line, cells))} |"


def _is_wide(table: Table) -> bool:
    """Whether a table would have to be scrolled."""
    rows: tuple[tuple[Line, ...], ...] = (table.headers, *table.rows)
    return sum(max(map(_length, column)) for column in zip(*rows, strict=True)) > _WIDEST


def _length(line: Line) -> int:
    return sum(len(part.text if isinstance(part, Code) else part) for part in parts(line))


def _records(table: Table) -> Iterator[str]:
    """Yield the rows of a table as items of a list: what the first two columns say, and the rest below."""
    for row in table.rows:
        head = " ".join(_line(cell) for cell in row[:2] if _length(cell))
        rest = [
            f"  - {_text(header.removeprefix('>'))}: {_line(cell)}"
            for header, cell in zip(table.headers[2:], row[2:], strict=True)
            if _length(cell)
        ]
        # Of another sign than other lists, which would otherwise go on with this one.
        yield "\n".join([f"* <b>{head}</b>", *rest])


def _fence(text: str, language: str) -> str:
    text = visible(text)
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def _line(line: Line) -> str:
    return "".join(_code(part.text) if isinstance(part, Code) else _text(part) for part in parts(line))


def _html(line: Line) -> str:
    return "".join(_html_code(part.text) if isinstance(part, Code) else _html_text(part) for part in parts(line))


def _text(text: str) -> str:
    return _inert(visible(text).replace("\n", " ").replace("\t", " ").translate(_MARKUP))


def _html_text(text: str) -> str:
    return _inert(html.escape(visible(text).replace("\n", " "), quote=False))


def _inert(text: str) -> str:
    """Break what GitHub makes links of: mentions, references to issues, addresses."""
    text = text.replace("@", f"@{_GAP}").replace("://", f":{_GAP}//")
    text = re.sub(r"(?i)(www)\.", rf"\1{_GAP}.", text)
    text = re.sub(r"(?i)\b(GH-)(?=\d)", rf"\1{_GAP}", text)
    return re.sub(r"(?<!&)#", f"#{_GAP}", text)


def _code(text: str) -> str:
    text = _one_line(text)
    # A table would take the pipe for the end of the cell even here, and a backslash before it is lost.
    if re.search(r"[`|\\]", text) or text != text.strip():
        return _html_code(text)
    return f"`{text}`"


def _html_code(text: str) -> str:
    return f"<code>{re.sub(r'[^A-Za-z0-9 /-]', lambda match: f'&#{ord(match[0])};', _one_line(text))}</code>"


def _one_line(text: str) -> str:
    return cut(visible(text).replace("\n", "\\n").replace("\t", "\\t") or "(empty)", _LONGEST_CODE)


def _size(text: str) -> int:
    return len(text.encode())
