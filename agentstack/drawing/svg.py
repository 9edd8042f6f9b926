"""A graph as SVG: text as text, light and dark, nothing that has to be fetched."""

from __future__ import annotations

import html
import pathlib
import re
import urllib.parse
from collections.abc import Iterator
from typing import Final

from components.topology import FLOWS, Flow

from .difference import SIGNS, Difference, State, condense
from .layout import (
    DETAIL_SIZE,
    HEAD,
    HEADING_SIZE,
    HEIGHT,
    LABEL_SIZE,
    MARGIN,
    PAD,
    TEXT_LEFT,
    TEXT_RIGHT,
    Box,
    Layout,
    cut,
    layout,
    text_width,
)

MOST_NODES: Final = 160
"""More are drawn as groups of those that are alike: more cannot be read on one picture."""
STYLE: Final = pathlib.Path(__file__).with_name("picture.css")

_LEGEND_STATES: Final[tuple[State, ...]] = ("added", "changed", "removed")
_LEGEND_HEIGHT: Final = 34.0


def svg(found: Difference, title: str, *, links: bool = False, style: bool = True) -> str:
    """Return the picture of a graph; `links` makes each node lead to `#` and its id, as the page needs it.

    What is too large is grouped, and the picture says so.
    """
    shown = condense(found, MOST_NODES)
    placed = layout(shown.graph)
    notes = _notes(found, shown)
    width = max(placed.width, 640.0)
    height = placed.height + _LEGEND_HEIGHT + 18 * len(notes)
    touched = " difference" if found.touched else ""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="picture{touched}" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="{"group" if links else "img"}" '
        'aria-labelledby="picture-title picture-description">',
        f'<title id="picture-title">{escaped(title)}</title>',
        f'<desc id="picture-description">{escaped(_description(found))}</desc>',
        *([f"<style>{STYLE.read_text(encoding='utf-8')}</style>"] if style else []),
        "<defs>",
        *(_marker(name) for name in (*(flow.colour for flow in FLOWS), *_LEGEND_STATES)),
        "</defs>",
        f'<rect class="paper" width="{width:.0f}" height="{height:.0f}"/>',
        *_sections(placed),
        '<g class="edges">',
        *_edges(shown, placed),
        "</g>",
        *(line for section in placed.sections for box in section.boxes for line in _node(box, shown, links)),
        *_legend(shown, placed.height),
        *(
            f'<text class="detail" x="{MARGIN:.0f}" y="{placed.height + _LEGEND_HEIGHT + 18 * index:.0f}">'
            f"{escaped(note)}</text>"
            for index, note in enumerate(notes)
        ),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Write text so that XML and HTML take it for nothing else."""
    return html.escape(re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text))


def _description(found: Difference) -> str:
    counts = [f"{len(found.graph.nodes):,} parts and {len(found.graph.drawn().edges):,} flows between them"]
    for state in _LEGEND_STATES:
        names = [node.label for node in found.graph.nodes if found.nodes[node.id] == state]
        if names:
            more = f" and {len(names) - 10:,} more" if len(names) > 10 else ""
            counts.append(f"{state}: {', '.join(names[:10])}{more}")
    return "; ".join(counts)


def _notes(found: Difference, shown: Difference) -> list[str]:
    if len(shown.graph.nodes) == len(found.graph.nodes):
        return []
    drawn = f"{len(found.graph.nodes):,} parts are drawn as {len(shown.graph.nodes):,}"
    return [f"{drawn}: those of one kind with the same connections, or else of one team, are one"]


def _marker(name: str) -> str:
    return (
        f'<marker id="head-{name}" viewBox="0 0 10 10" refX="9" refY="5" markerUnits="userSpaceOnUse" '
        f'markerWidth="9" markerHeight="9" orient="auto"><path class="head {name}" d="M0 1L10 5L0 9z"/></marker>'
    )


def _sections(placed: Layout) -> Iterator[str]:
    for section in placed.sections:
        yield (
            f'<rect class="section" x="{section.x:.1f}" y="{section.y:.1f}" width="{section.width:.1f}" '
            f'height="{section.height:.1f}" rx="10"/>'
        )
        heading = cut(section.title, section.width - 2 * PAD, HEADING_SIZE, bold=True)
        yield (
            f'<text class="heading" x="{section.x + PAD:.1f}" y="{section.y + HEAD - 13:.1f}">{escaped(heading)}</text>'
        )


def _edges(shown: Difference, placed: Layout) -> Iterator[str]:
    # What changes is drawn last, above the rest.
    for edge in sorted(shown.graph.edges, key=lambda edge: shown.edges[edge.key] != "same"):
        state = shown.edges[edge.key]
        head = edge.kind.flow.colour if state == "same" else state
        words = f"{_name(edge.source)} {edge.kind.name} {_name(edge.target)}{f': {edge.label}' if edge.label else ''}"
        yield (
            f'<path class="{_line(edge.kind.flow)} {state}" d="{placed.paths[edge.key]}" '
            f'marker-end="url(#head-{head})" data-source="{escaped(edge.source)}" data-target="{escaped(edge.target)}">'
            f"<title>{escaped(words)}{f' ({state})' if state != 'same' else ''}</title></path>"
        )


def _line(flow: Flow) -> str:
    return f"edge {flow.colour}{' dotted' if flow.dotted else ''}"


def _name(node: str) -> str:
    return node.rpartition("/")[2]


def _node(box: Box, shown: Difference, links: bool) -> Iterator[str]:
    node, state = box.node, shown.nodes[box.node.id]
    room = box.width - TEXT_LEFT - TEXT_RIGHT
    words = ", ".join(word for word in (node.kind.title, node.label, node.detail) if word)
    words += f" ({state})" if state != "same" else ""
    attributes = f'class="node {state}" data-id="{escaped(node.id)}"'
    if links:
        yield f'<a {attributes} href="#{urllib.parse.quote(node.id)}" aria-label="{escaped(words)}">'
    else:
        yield f"<g {attributes}>"
    yield f"<title>{escaped(words)}</title>"
    x, y, width = box.x, box.y, box.width
    if node.kind.shape == "pile" or node.members:  # a pile of cards
        yield f'<rect class="card" x="{x + 4:.1f}" y="{y + 4:.1f}" width="{width:.1f}" height="{HEIGHT:.0f}" rx="7"/>'
    yield f'<rect class="card" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{HEIGHT:.0f}" rx="7"/>'
    bar = f'x="{x + 6:.1f}" y="{y + 9:.1f}" width="3" height="{HEIGHT - 18:.0f}" rx="1.5"'
    yield f'<rect class="bar {node.kind.role.colour}" {bar}/>'
    label, detail = cut(node.label, room, LABEL_SIZE, bold=True), cut(node.detail, room, DETAIL_SIZE)
    baseline = y + (20 if detail else HEIGHT / 2 + 4.5)
    yield f'<text class="label" x="{x + TEXT_LEFT:.1f}" y="{baseline:.1f}">{escaped(label)}</text>'
    if detail:
        yield f'<text class="detail" x="{x + TEXT_LEFT:.1f}" y="{y + 36:.1f}">{escaped(detail)}</text>'
    if SIGNS[state]:
        yield f'<g class="sign"><circle cx="{x + width - 4:.1f}" cy="{y + 2:.1f}" r="9"/>'
        yield f'<text x="{x + width - 4:.1f}" y="{y + 7:.1f}">{SIGNS[state]}</text></g>'
    yield "</a>" if links else "</g>"


def _legend(shown: Difference, top: float) -> Iterator[str]:
    flows = {edge.kind.flow for edge in shown.graph.edges}
    x, y = MARGIN, top + 8
    for flow in FLOWS:
        if flow in flows:
            yield f'<path class="{_line(flow)}" d="M{x:.0f} {y:.0f}h26" marker-end="url(#head-{flow.colour})"/>'
            yield f'<text class="detail" x="{x + 32:.0f}" y="{y + 4:.0f}">{flow.title}</text>'
            x += 32 + text_width(flow.title, DETAIL_SIZE) + 18
    states = {*shown.nodes.values(), *shown.edges.values()}
    for state in _LEGEND_STATES:
        if state in states:
            yield f'<g class="{state}"><g class="sign"><circle cx="{x + 9:.0f}" cy="{y:.0f}" r="9"/>'
            yield f'<text x="{x + 9:.0f}" y="{y + 5:.0f}">{SIGNS[state]}</text></g></g>'
            yield f'<text class="detail" x="{x + 24:.0f}" y="{y + 4:.0f}">{state}</text>'
            x += 24 + text_width(state, DETAIL_SIZE) + 18
