"""A document on a terminal, with colours; in a pipe as plain text of a fixed width."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Final, Literal

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from .console import new_console
from .document import Block, Code, Document, Fenced, Fold, Line, Lines, Mark, Section, Table, parts, visible

_UNBOUNDED: Final = 10_000
_NARROWEST: Final = 20
"""Columns that text has on a terminal, however narrow that is."""
_STYLES: Final[dict[Mark, str]] = {"bad": "bold red", "warn": "bold yellow", "good": "green", "none": "bold"}
_LINE_STYLES: Final[dict[Mark, str]] = {"bad": "red", "warn": "yellow", "good": "green", "none": ""}
_DIFF_STYLES: Final = {"~": "bold", "+": "green", "-": "red", "!": "yellow", "@": "cyan"}


def show(document: Document, file: IO[str] | None = None) -> None:
    """Print the document to `file`, stdout by default, with colours if that is a terminal."""
    console = new_console(file)
    console.print(_text(document.title, "bold"))
    console.print()
    console.print(_table(document.summary, [_STYLES[chapter.mark] for chapter in document.chapters]))
    for item in document.notes.items:
        console.print(_text(item, _LINE_STYLES[document.notes.mark]))
    for chapter in document.chapters:
        if len(document.chapters) > 1 and chapter.sections:
            console.print()
            console.rule(Text(f"{visible(chapter.environment)}: {visible(chapter.verdict)}", _STYLES[chapter.mark]))
        for section in chapter.sections:
            _show_section(console, section)
    console.print()
    console.print(_text(document.foot, "dim"), soft_wrap=True)


def _show_section(console: Console, section: Section) -> None:
    # The words around a picture say nothing without it.
    if not section.appendix and not any(map(_has_picture, section.blocks)):
        console.print()
        console.print(_text(section.title, _STYLES[section.mark]))
        _show_blocks(console, section.blocks, "  ")


def _has_picture(block: Block) -> bool:
    if isinstance(block, Fold):
        return any(map(_has_picture, block.blocks))
    return isinstance(block, Fenced) and block.language == "mermaid"


def _show_blocks(console: Console, blocks: tuple[Block, ...], indent: str) -> None:
    def put(line: Text) -> None:
        if not console.is_terminal:  # in a pipe lines stay whole
            console.print(Text.assemble(indent, line), soft_wrap=True)
            return
        hanging = indent + " " * (len(line.plain) - len(line.plain.lstrip()))
        for number, part in enumerate(line.wrap(console, max(_NARROWEST, console.width - len(hanging)))):
            part.rstrip()
            console.print(Text.assemble(hanging if number else indent, part), soft_wrap=True)

    for block in blocks:
        match block:
            case Lines():
                for item in block.items:
                    put(_text(item, _LINE_STYLES[block.mark]))
            case Table():
                table = _table(block)
                if console.measure(
                    table, options=console.options.update(width=_UNBOUNDED)
                ).maximum <= console.width - len(indent):
                    console.print(Padding(table, (0, 0, 0, len(indent)), expand=False))
                else:
                    for record in _records(block):
                        put(record)
            case Fenced():
                colours = _DIFF_STYLES if block.language == "diff" else {}
                for line in visible(block.text).split("\n"):
                    # To be copied: a terminal wraps it by itself.
                    console.print(Text(f"{indent}{line}", colours.get(line[:1], "")), soft_wrap=True)
            case Fold():
                put(_text(block.title))
                _show_blocks(console, block.blocks, f"{indent}  ")


def _records(table: Table) -> Iterator[Text]:
    """Yield the rows of a table that is too wide as lines: what the first two columns say, and the rest below."""
    for row in table.rows:
        cells = [_text(cell) for cell in row]
        yield Text("  ").join(cell for cell in cells[:2] if cell)
        for header, cell in zip(table.headers[2:], cells[2:], strict=True):
            if cell:
                yield Text.assemble(f"    {header.removeprefix('>')}: ", cell)


def _table(table: Table, styles: list[str] | None = None) -> RenderableType:
    shown = RichTable(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for number, header in enumerate(table.headers):
        side: Literal["left", "right"] = "right" if header.startswith(">") else "left"
        # The name in the first column stays whole.
        shown.add_column(header.removeprefix(">"), justify=side, overflow="fold", no_wrap=number == 0)
    for number, row in enumerate(table.rows):
        cells = [_text(cell) for cell in row]
        if styles is not None:
            cells[1].stylize(styles[number])
        shown.add_row(*cells)
    return shown


def _text(line: Line, style: str = "") -> Text:
    shown = Text(style=style)
    for part in parts(line):
        text = part.text if isinstance(part, Code) else part
        shown.append(visible(text).replace("\n", "\\n"), "cyan" if isinstance(part, Code) and not style else "")
    return shown
