"""A graph as Mermaid, which GitHub and GitLab show as a picture. https://mermaid.js.org/syntax/flowchart.html"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from agentstack.compare.model import Change
from agentstack.compare.snapshot import Snapshot
from agentstack.graph.model import Graph
from agentstack.output.document import Fenced, Line, Lines, Section
from components.topology import Node, Shape

from .difference import SIGNS, Difference, State, condense, difference

MOST_NODES: Final = 160
"""More are drawn as groups of those that are alike."""
MOST_EDGES: Final = 500
"""Mermaid's `maxEdges`, which GitHub leaves as it is. https://mermaid.js.org/config/schema-docs/config.html#maxedges"""
MOST_CHARACTERS: Final = 50_000
"""Mermaid's `maxTextSize`, likewise."""
_WHOLE: Final = 40
"""Nodes of a graph that a comment shows as a whole; of a larger one only what changes, with its neighbours."""
_COMMENT: Final = 15_000
"""Characters of a picture in a comment, which has room for 60,000, and for three environments."""

_SHAPES: Final[Mapping[Shape, tuple[str, str]]] = {
    "box": ("[", "]"),
    "pile": ("[[", "]]"),
    "slanted": ("[/", "/]"),
    "flag": (">", "]"),
    "cylinder": ("[(", ")]"),
    "pill": ("([", "])"),
    "hexagon": ("{{", "}}"),
}
# Fill, border and text are all given, so that a dark theme keeps the contrast: 7:1 or more.
_CLASSES: Final[Mapping[State, str]] = {
    "added": "fill:#dafbe1,stroke:#1a7f37,color:#0f3d1c,stroke-width:2px",
    "removed": "fill:#ffebe9,stroke:#cf222e,color:#6e0b14,stroke-width:2px,stroke-dasharray:6 4",
    "changed": "fill:#fff8c5,stroke:#9a6700,color:#4d2d00,stroke-width:2px",
}
_LINES: Final[Mapping[State, str]] = {
    "added": "stroke:#2da44e,stroke-width:3px",
    "removed": "stroke:#cf222e,stroke-width:2px,stroke-dasharray:6 4",
    "changed": "stroke:#bf8700,stroke-width:3px",
}

# A number or a dash at the beginning would be a list, and addresses links: neither is drawn.
_MARKUP: Final = re.compile(r"[^\w ,./:()%-]|_|^-|^[0-9]+(?=\.)|:(?=//)|[wW](?=\.)")


def mermaid(found: Difference, *, characters: int = MOST_CHARACTERS) -> str:
    """Return a flowchart in which what is added, removed or changed stands out.

    Parts that are alike are drawn as one where there are too many, or where the text would be above `characters`.
    """
    for most in (MOST_NODES, 80, 40, 20):
        shown = condense(found, most)
        text = _flowchart(shown)
        if len(text) <= characters and len(shown.graph.edges) <= MOST_EDGES:
            break
    return text


def _flowchart(found: Difference) -> str:
    names = _ids(found.graph)
    return "\n".join(["flowchart LR", *_nodes(found, names), *_edges(found, names), *_styles(found, names), ""])


def _ids(graph: Graph) -> dict[str, str]:
    """Return an id for each node that Mermaid takes, and that stays while the node's own does."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for node in graph.nodes:
        # Never a reserved word such as `end`.
        name = base = f"n_{re.sub(r'[^A-Za-z0-9]+', '_', node.id)}"
        number = 1
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name)
        found[node.id] = name
    return found


def _nodes(found: Difference, names: Mapping[str, str]) -> Iterator[str]:
    groups: dict[str, list[Node]] = defaultdict(list)
    for node in found.graph.nodes:
        groups[node.group].append(node)
    for number, (group, nodes) in enumerate(groups.items()):
        indent = "  "
        if group:
            yield f'  subgraph g{number}["{_escaped(group)}"]'
            indent = "    "
        for node in nodes:
            opening, closing = _SHAPES[node.kind.shape]
            yield f'{indent}{names[node.id]}{opening}"{_label(node, found.nodes[node.id])}"{closing}'
        if group:
            yield "  end"


def _label(node: Node, state: State) -> str:
    words = [node.label, node.detail, *([f"({state})"] if state != "same" else [])]
    return "<br/>".join(_escaped(word) for word in words if word)


def _escaped(text: str) -> str:
    """Write text as Mermaid's entity codes, except for what is neither its syntax, nor Markdown's, nor HTML's.

    https://mermaid.js.org/syntax/flowchart.html#entity-codes-to-escape-characters
    """
    return _MARKUP.sub(lambda match: "".join(f"#{ord(char)};" for char in match[0]), text)


def _edges(found: Difference, names: Mapping[str, str]) -> Iterator[str]:
    for edge in found.graph.edges:
        sign = SIGNS[found.edges[edge.key]]
        label = f'|"#{ord(sign)};"|' if sign else ""
        arrow = "-.->" if edge.kind.flow.dotted else "-->"
        yield f"  {names[edge.source]} {arrow}{label} {names[edge.target]}"


def _styles(found: Difference, names: Mapping[str, str]) -> Iterator[str]:
    for state in ("added", "removed", "changed"):
        nodes = [names[node.id] for node in found.graph.nodes if found.nodes[node.id] == state]
        if nodes:
            yield f"  classDef {state} {_CLASSES[state]}"
            yield f"  class {','.join(nodes)} {state}"
        lines = [str(index) for index, edge in enumerate(found.graph.edges) if found.edges[edge.key] == state]
        if lines:
            yield f"  linkStyle {','.join(lines)} {_LINES[state]}"


def section(before: Snapshot, after: Snapshot, changes: Sequence[Change]) -> Section | None:
    """Return the part of a diff that shows, as a picture, which parts of the stack change, and what they touch.

    None where no part does.
    """
    found = difference(before, after, changes)
    if not found.touched:
        return None
    shown = found
    legend: list[Line] = ["green, + on a line: added; yellow, ~: changed; red and dashed, -: removed"]
    if len(found.graph.nodes) > _WHOLE:
        shown = found.around(neighbours=True)
        if len(shown.graph.nodes) > _WHOLE:
            shown = found.around(neighbours=False)
        legend.append(
            f"{len(shown.graph.nodes):,} of {len(found.graph.nodes):,} parts: those that change, and "
            "what they are connected with; the page of the graph has all"
        )
    states = Counter(found.nodes.values())
    counts = [f"{states[state]} {state}" for state in ("added", "changed", "removed") if states[state]]
    return Section(
        f"Picture: {', '.join(counts) or 'connections'}",
        (Fenced(mermaid(shown, characters=_COMMENT).rstrip("\n"), "mermaid"), Lines(tuple(legend))),
    )
