"""Where each part of a picture stands: three columns by role, ordered so that few edges cross.

The way in and the messages are left of the agents, and what the agents stand on is right of them, so that every edge
joins neighbouring columns, or runs beside its own: none passes behind a node. The same graph gives the same picture.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from agentstack.graph.model import Graph
from components.topology import ROLES, WORKLOAD, Edge, Node

HEIGHT: Final = 46.0
"""Of a node, in pixels, as everything here."""
GAP: Final = 20.0
"""Between the nodes of a section, at most."""
HEAD: Final = 34.0
"""The room for a section's title."""
PAD: Final = 14.0
"""Around the nodes of a section."""
MARGIN: Final = 20.0
LABEL_SIZE, DETAIL_SIZE, HEADING_SIZE = 13.0, 11.5, 11.0
TEXT_LEFT: Final = 16.0
"""From a node's edge to its text."""
TEXT_RIGHT: Final = 12.0
_BETWEEN_SECTIONS: Final = 26.0
_BETWEEN_COLUMNS: Final = 150.0
_NARROWEST, _WIDEST = 150.0, 270.0
_SWEEPS: Final = 8
_FEW, _NARROW_GAP = 12, 12.0
"""A section with more nodes than that has this gap between them."""


@dataclass
class Box:
    """Where a node stands."""

    node: Node
    column: int
    x: float = 0
    y: float = 0
    width: float = _NARROWEST

    @property
    def middle(self) -> float:
        """The height of its centre."""
        return self.y + HEIGHT / 2


@dataclass
class Frame:
    """A titled frame around nodes of one role."""

    title: str
    column: int
    boxes: list[Box]
    x: float = 0
    y: float = 0
    width: float = 0

    @property
    def height(self) -> float:
        """From its upper to its lower border."""
        return HEAD + len(self.boxes) * (HEIGHT + self.gap) - self.gap + PAD

    @property
    def gap(self) -> float:
        """Between its nodes."""
        return GAP if len(self.boxes) <= _FEW else _NARROW_GAP


@dataclass
class Layout:
    """A picture: its size, and where everything is in it."""

    sections: list[Frame]
    paths: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """By the edge's key, as the `d` of an SVG path."""
    width: float = 0
    height: float = 0


def layout(graph: Graph) -> Layout:
    """Place the nodes of a graph, and route its edges."""
    sections = list(_sections(graph))
    by_id = {box.node.id: box for section in sections for box in section.boxes}
    _order(sections, graph.edges, by_id)
    found = Layout(sections)
    _place(found, graph.edges, by_id)
    found.paths = dict(_paths(graph.edges, by_id))
    return found


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return how wide a text is at most in the common interface fonts; DejaVu Sans is the widest of them."""
    width = 0.0
    for char in text:
        if unicodedata.combining(char):
            continue
        if unicodedata.east_asian_width(char) in "WF":
            width += 1.05
        elif char in "iljI.,:;'|!()[]/- ":
            width += 0.42
        elif char in "mwMW@%":
            width += 1.0
        else:
            width += 0.78 if char.isupper() else 0.67
    return width * size * (1.0 if bold else 0.93)


def cut(text: str, width: float, size: float, *, bold: bool = False) -> str:
    """Return as much of a text as fits, with an ellipsis where something is missing."""
    if text_width(text, size, bold=bold) <= width:
        return text
    while text and text_width(f"{text}…", size, bold=bold) > width:
        text = text[:-1]
    return f"{text.rstrip()}…"


def _sections(graph: Graph) -> Iterator[Frame]:
    for role in ROLES:
        teams: dict[str, list[Node]] = defaultdict(list)
        for node in graph.nodes:
            if node.kind.role is role:
                teams[node.team if role is WORKLOAD else ""].append(node)
        for team in sorted(teams, key=lambda team: (not team, team)):
            nodes = teams[team]
            name = f"{role.title} of {team}" if team else role.title
            namespaces = {node.group for node in nodes}
            within = "".join(namespaces - {role.title}) if len(namespaces) == 1 else ""
            heading = f"{name} · namespace {within}" if within else name
            yield Frame(heading, role.column, [Box(node, role.column) for node in nodes])


def _order(sections: Sequence[Frame], edges: Sequence[Edge], by_id: Mapping[str, Box]) -> None:
    """Put the nodes of each section into the order, of those tried, in which the fewest edges cross.

    By barycentres: Sugiyama, Tagawa and Toda, 1981, https://doi.org/10.1109/TSMC.1981.4308636.
    """
    neighbours: dict[str, list[str]] = defaultdict(list)
    for edge in edges:
        if by_id[edge.source].column != by_id[edge.target].column:
            neighbours[edge.source].append(edge.target)
            neighbours[edge.target].append(edge.source)
    best, fewest = [list(section.boxes) for section in sections], -1
    for sweep in range(_SWEEPS):
        rank = _ranks(sections)
        crossings = _crossings(edges, by_id, rank)
        if fewest < 0 or crossings < fewest:
            best, fewest = [list(section.boxes) for section in sections], crossings
        for column in (1, 0, 2) if sweep % 2 else (0, 2, 1):
            rank = _ranks(sections)
            for section in sections:
                if section.column == column:
                    section.boxes.sort(key=lambda box: _barycentre(box, neighbours[box.node.id], rank))
    for section, boxes in zip(sections, best, strict=True):
        section.boxes = boxes


def _ranks(sections: Sequence[Frame]) -> dict[str, float]:
    """Return the place of each node in its column, from 0 to 1."""
    columns: dict[int, list[Box]] = defaultdict(list)
    for section in sections:
        columns[section.column] += section.boxes
    return {box.node.id: (index + 0.5) / len(boxes) for boxes in columns.values() for index, box in enumerate(boxes)}


def _barycentre(box: Box, neighbours: Sequence[str], rank: Mapping[str, float]) -> tuple[bool, float]:
    if not box.node.kind.repeated:
        return False, 0.0  # as the graph has them, before the others of their section: the sort is stable
    if not neighbours:
        return True, rank[box.node.id]
    return True, sum(rank[name] for name in neighbours) / len(neighbours)


def _crossings(edges: Sequence[Edge], by_id: Mapping[str, Box], rank: Mapping[str, float]) -> int:
    found = 0
    for side in (0, 2):
        lines = []
        for edge in edges:
            ends = {by_id[name].column: rank[name] for name in (edge.source, edge.target)}
            if ends.keys() == {1, side}:
                lines.append((ends[1], ends[side]))
        lines.sort()
        found += sum(
            one[0] < other[0] and one[1] > other[1] for index, one in enumerate(lines) for other in lines[index + 1 :]
        )
    return found


def _place(found: Layout, edges: Sequence[Edge], by_id: Mapping[str, Box]) -> None:
    columns = [[section for section in found.sections if section.column == column] for column in range(3)]
    x = MARGIN
    for sections in columns:
        if not sections:
            continue
        width = max(_width(section) for section in sections)
        for section in sections:
            section.x, section.width = x, width + 2 * PAD
            for box in section.boxes:
                box.x, box.width = x + PAD, width
        x += width + 2 * PAD + _BETWEEN_COLUMNS
    loops = any(by_id[edge.source].column == by_id[edge.target].column == 2 for edge in edges)
    found.width = x - _BETWEEN_COLUMNS + MARGIN + (24 if loops else 0)

    heights = [sum(section.height + _BETWEEN_SECTIONS for section in sections) for sections in columns]
    tallest = max(heights, default=0) - _BETWEEN_SECTIONS
    for sections, height in zip(columns, heights, strict=True):
        # What is left is spread above and between the sections.
        spare = max(0.0, (tallest - height + _BETWEEN_SECTIONS) / (len(sections) + 1)) if sections else 0
        y = MARGIN + spare
        for section in sections:
            section.y = y
            for index, box in enumerate(section.boxes):
                box.y = y + HEAD + index * (HEIGHT + section.gap)
            y += section.height + _BETWEEN_SECTIONS + spare
    found.height = tallest + 2 * MARGIN


def _width(section: Frame) -> float:
    wanted = text_width(section.title, HEADING_SIZE, bold=True) + 2
    for box in section.boxes:
        label = text_width(box.node.label, LABEL_SIZE, bold=True)
        detail = text_width(box.node.detail, DETAIL_SIZE)
        wanted = max(wanted, TEXT_LEFT + max(label, detail) + TEXT_RIGHT)
    return min(max(wanted, _NARROWEST), _WIDEST)


Slot = tuple[str, str, str, bool]
"""A node, its side, a kind of edge, and whether it leaves there: edges that have all in common meet in one point."""


def _paths(edges: Sequence[Edge], by_id: Mapping[str, Box]) -> Iterator[tuple[tuple[str, str, str], str]]:
    others: dict[Slot, list[float]] = defaultdict(list)
    ends: list[tuple[Edge, Slot, Slot]] = []
    for edge in edges:
        source, target = by_id[edge.source], by_id[edge.target]
        left, right = _sides(source, target)
        leaves, enters = (source.node.id, left, edge.kind.name, True), (target.node.id, right, edge.kind.name, False)
        others[leaves].append(target.middle)
        others[enters].append(source.middle)
        ends.append((edge, leaves, enters))
    at = dict(_slots(others, by_id))
    for edge, leaves, enters in ends:
        (x1, y1), (x2, y2) = at[leaves], at[enters]
        source, target = by_id[edge.source], by_id[edge.target]
        yield edge.key, _curve(source, target, (x1, y1), (x2, y2))


def _sides(source: Box, target: Box) -> tuple[str, str]:
    if source.column != target.column:
        return ("right", "left") if source.column < target.column else ("left", "right")
    distance = target.y - source.y
    if 0 < abs(distance) < HEIGHT + GAP + 1:
        return ("bottom", "top") if distance > 0 else ("top", "bottom")
    return "right", "right"


def _slots(
    others: Mapping[Slot, Sequence[float]], by_id: Mapping[str, Box]
) -> Iterator[tuple[Slot, tuple[float, float]]]:
    sides: dict[tuple[str, str], list[Slot]] = defaultdict(list)
    for slot in others:
        sides[slot[0], slot[1]].append(slot)
    for (name, side), slots in sides.items():
        box = by_id[name]
        slots.sort(key=lambda slot: (sum(others[slot]) / len(others[slot]), slot))
        for index, slot in enumerate(slots, start=1):
            share = index / (len(slots) + 1)
            if side in ("left", "right"):
                yield slot, (box.x + (box.width if side == "right" else 0), box.y + HEIGHT * share)
            else:
                yield slot, (box.x + box.width * share, box.y + (HEIGHT if side == "bottom" else 0))


def _curve(source: Box, target: Box, start: tuple[float, float], end: tuple[float, float]) -> str:
    (x1, y1), (x2, y2) = start, end
    if source.column == target.column:
        if abs(target.y - source.y) < HEIGHT + GAP + 1 and source is not target:
            return f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"
        reach = min(30 + 0.12 * abs(y2 - y1), _BETWEEN_COLUMNS - 30) if source.column == 1 else PAD + 22
        return f"M{x1:.1f} {y1:.1f}C{x1 + reach:.1f} {y1:.1f} {x2 + reach:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
    bend = (x2 - x1) / 2
    return f"M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
