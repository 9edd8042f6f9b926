"""A diff on a terminal and as a comment: nothing of a stranger's becomes markup, and it fits."""

from __future__ import annotations

import dataclasses
import html
import io
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from agentstack.output.document import Block, Chapter, Code, Document, Fenced, Fold, Line, Lines, Section, Table
from agentstack.output.markdown import MARKER, comment, failure
from agentstack.output.terminal import show
from manifests.text import escaped

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])

HOSTILE = [
    "<script>alert(1)</script>",
    "</details></summary><img src=x onerror=alert(1)>",
    "<!-- agentstack diff -->",
    "-->",
    "@everyone and @acme/admins",
    "fixes #1, GH-2 and acme/stack#3",
    "[click](https://example.com)",
    "![picture](https://example.com/a.png)",
    "https://example.com www.example.com mailto:a@example.com",
    "a|b|c",
    "\\|x",
    "`code` ``more`` ```",
    "```\n</details>\n# heading",
    "~~~",
    "*bold* _it_ ~~gone~~ $x^2$ :tada:",
    "# heading",
    "- item",
    "1. item",
    "> quote",
    "&lt;b&gt; &#64;acme",
    "line\nbreak\r\n\n\nparagraph",
    "\x1b[31mred\x1b[0m \x07",
    "\u202eright to left\u2066",
    "",
    " ",
    "\t",
]


def document(*blocks: Block, title: Line = "a title", name: str = "dev", section: str = "Changes") -> Document:
    chapter = Chapter(
        name, "fine", "none", (Section(section, blocks), Section("other", blocks, "bad")), "agentstack diff dev"
    )
    summary = Table(("environment", "verdict"), ((Code(name), "fine"),))
    return Document(title, summary, Lines((title,)), (chapter,), "the foot")


def all_of(text: str) -> Document:
    """A document that has the text everywhere."""
    line: Line = (text, " ", Code(text))
    blocks: tuple[Block, ...] = (
        Lines((line, text, Code(text), (Code(text), text))),
        Table(("one", ">two"), ((line, text), (Code(text), Code(text)))),
        Fenced(text, "diff"),
        Fold(line, (Fenced(text), Lines((line,)))),
    )
    return document(*blocks, title=line, name=text, section=text)


def tokens(markdown: str) -> list[Token]:
    flat = []
    for token in MARKDOWN.parse(markdown):
        flat += [token, *(token.children or ())]
    return flat


EXPECTED_HTML = re.compile(
    r"\s*(<!-- agentstack diff -->|</?(details|summary|b|sub|code)>|(?P<text>[^<>]*))*\s*", re.DOTALL
)


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_of_a_strangers_becomes_markup(text: str) -> None:
    markdown = comment(all_of(text))
    assert markdown.startswith(f"{MARKER}\n")
    found = tokens(markdown)
    kinds = {token.type for token in found}
    assert not kinds & {"link_open", "image", "em_open", "strong_open", "s_open", "blockquote_open", "hr"}
    assert not kinds & {"ordered_list_open", "code_block"}
    raw = [token.content for token in found if token.type in ("html_block", "html_inline")]
    assert all(EXPECTED_HTML.fullmatch(part) for part in raw)
    assert "".join(raw).count("<!--") == 1
    assert "".join(raw).count("<details>") == "".join(raw).count("</details>") == 3
    assert [token.tag for token in found if token.type == "heading_open"] == ["h2", "h4"]
    # Twice three rows, and the two of the verdicts; a wide table is a list instead.
    assert sum(token.type == "tr_open" for token in found) == (2 if len(text) >= 40 else 8)
    assert {token.type for token in found if token.type.startswith("t")} >= {"td_open"}
    # A row with a cell too many or too few would shift them.
    rows = [part for part in MARKDOWN.render(markdown).split("<tr>") if "<td" in part]
    assert {part.count("<td") for part in rows} == {2}


@pytest.mark.parametrize("text", HOSTILE)
def test_github_finds_nothing_to_link_or_mention_outside_of_code(text: str) -> None:
    page = MARKDOWN.render(comment(all_of(text)))
    prose = re.sub(r"<(code|pre)[^>]*>.*?</\1>", "", page, flags=re.DOTALL)
    prose = re.sub(r"<!--.*?-->", "", prose)
    assert not re.search(r"@\w|(?<!&)#\d|\bGH-\d|://|www\.\w", prose)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_shown_as_code_is_shown_whole(text: str) -> None:
    page = MARKDOWN.render(comment(document(Lines((Code(text),)), Table(("a",), ((Code(text),),)))))
    cells = re.findall(r"<code>(.*?)</code>", page, re.DOTALL)
    shown = escaped(text.replace("\n", "\\n").replace("\t", "\\t")) or "(empty)"
    assert [html.unescape(cell) for cell in cells[1:]] == [shown] * 4


def test_a_table_too_wide_for_a_comment_is_a_list() -> None:
    row = ("data lost", Code("redis.storage"), "why " * 20, "", "way " * 20)
    markdown = comment(document(Table(("", "resource", "what happens", "note", ">what keeps it"), (row, row))))
    assert "* <b>data lost `redis.storage`</b>\n  - what happens: why why" in markdown
    assert "  - what keeps it: way" in markdown
    assert "note" not in markdown
    assert [token.type for token in tokens(markdown)].count("list_item_open") == 2 * 2 * 3 + 1


def test_backticks_in_text_make_code_and_nothing_else() -> None:
    page = MARKDOWN.render(comment(document(Lines(("add `@a <b>` to `c|d`, or `", "`x`")))))
    assert "add <code>@a &lt;b&gt;</code> to <code>c|d</code>, or `</li>" in page


def test_a_fence_is_longer_than_any_in_its_text() -> None:
    found = [token for token in tokens(comment(document(Fenced("a\n````\nb", "diff")))) if token.type == "fence"]
    assert [token.content for token in found] == ["a\n````\nb\n"] * 2


@pytest.mark.parametrize("text", HOSTILE)
def test_a_message_is_shown_as_it_is(text: str) -> None:
    markdown = failure(text)
    assert markdown.startswith(f"{MARKER}\n")
    [fence] = [token for token in tokens(markdown) if token.type == "fence"]
    assert not {token.type for token in tokens(markdown)} & {"html_inline", "link_open"}
    assert "\x1b" not in fence.content


def test_a_message_fits() -> None:
    assert len(failure("x" * 1_000_000).encode()) < 60_000


def changes(count: int, size: int, mark: str = "none") -> Section:
    folds = tuple(Fold(Code(f"agent-{n}"), (Fenced("+ é\n" * size, "diff"),)) for n in range(count))
    return Section("Changes", folds, mark)  # type: ignore[arg-type]


def long_document(environments: int, count: int, size: int) -> Document:
    important = Section("What it destroys", (Lines(tuple(Code(f"StatefulSet/data/{n}") for n in range(5))),), "bad")
    chapters = tuple(
        Chapter(f"env{n}", "fine", "good", (important, changes(count, size)), f"agentstack diff env{n} --base main")
        for n in range(environments)
    )
    rows = tuple((Code(chapter.environment), "fine") for chapter in chapters)
    return Document("title", Table(("environment", "verdict"), rows), Lines(()), chapters, "foot")


def test_a_long_comment_keeps_what_matters_and_counts_the_rest() -> None:
    markdown = comment(long_document(3, 100, 200))
    assert len(markdown.encode()) < 60_000
    assert len(markdown.encode()) > 50_000, "the room is used"
    assert markdown.count("StatefulSet/data/4") == 3
    for chapter in markdown.split("\n### ")[1:]:
        [lost] = re.findall(r"\*\*(\d+) more entries are not shown\*\*", chapter)
        assert int(lost) + chapter.count("<code>agent-") == 100
    assert "run `agentstack diff env2 --base main`" in markdown


def test_a_short_comment_is_whole() -> None:
    markdown = comment(long_document(3, 2, 2))
    assert "not shown" not in markdown
    assert markdown.count("agent-1") == 3


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(0, 300), st.integers(1, 4000))
@example(1, 0, 1)
@example(1, 300, 4000)
@example(6, 300, 1)
@example(6, 300, 4000)
def test_a_comment_always_fits_and_is_well_formed(environments: int, count: int, size: int) -> None:
    markdown = comment(long_document(environments, count, size))
    assert len(markdown.encode()) < 60_000
    assert markdown.count("<details>") == markdown.count("</details>")
    assert markdown.count("\n```diff\n") * 2 == len(re.findall(r"^```", markdown, re.MULTILINE))


# --- the terminal ---


def printed(shown: Document) -> str:
    out = io.StringIO()
    show(shown, out)
    return out.getvalue()


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_of_a_strangers_moves_the_cursor(text: str) -> None:
    assert all(char.isprintable() or char in "\n\t" for char in printed(all_of(text)))


def test_a_terminal_breaks_lines_between_words_and_names_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    out = io.StringIO()
    monkeypatch.setattr(out, "isatty", lambda: True)
    words = "wordsthatstaywhole " * 12
    table = Table(("kind", "change", "what happens"), (("data lost", Code("redis.storage"), words),))
    summary = Table(
        ("environment", "verdict", "destroys", "a month"),
        (("production", "destroys", "1, 1 not approved", "1 to 2 USD"),),
    )
    chapter = Chapter("production", "fine", "good", (Section("What", (Lines((words,)), table)),), "")
    show(Document("t", summary, Lines(()), (chapter,), ""), out)
    text = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    lines = text.splitlines()
    assert max(map(len, lines)) <= 60
    assert text.count("wordsthatstaywhole") == 24
    assert any(line.startswith("production ") for line in lines)
    assert "      wordsthatstaywhole wordsthatstaywhole" in lines  # as far in as the line that it goes on with


def test_a_pipe_gets_no_colours_and_long_lines_whole() -> None:
    text = printed(document(Fenced("+ " + "x" * 500, "diff"), Lines((Code("y" * 300),))))
    assert "\x1b" not in text
    assert "x" * 500 in text
    assert "y" * 300 in text


def test_a_terminal_leaves_out_pictures_and_new_manifests() -> None:
    section = Section("Graph", (Fenced("flowchart LR", "mermaid"),))
    new = Section("New objects", (Fold(Code("A/b"), (Fenced("a: 1", "yaml"),)),), appendix=True)
    steps = Section("What it destroys", (Fenced("write: this", "yaml"),))
    chapter = Chapter("dev", "fine", "good", (section, new, steps), "")
    text = printed(Document("t", Table(("environment", "verdict"), (("dev", "fine"),)), Lines(()), (chapter,), ""))
    assert "Graph" not in text
    assert "New objects" not in text
    assert "write: this" in text


def test_the_command_that_shows_the_rest_cannot_leave_its_code() -> None:
    whole = long_document(3, 100, 200)
    hostile = "agentstack diff 'a`<img src=x> @acme/team' --base main"
    chapters = tuple(dataclasses.replace(chapter, command=hostile) for chapter in whole.chapters)
    text = comment(dataclasses.replace(whole, chapters=chapters))
    assert "not shown**: run <code>" in text
    assert "<img" not in text
    assert "@acme" not in text
