"""Which metrics a PromQL expression reads, by its tokens alone: the rules have no parser at hand.

See https://prometheus.io/docs/prometheus/latest/querying/basics/. The tests compare it with a real parser.
"""

from __future__ import annotations

import re
from typing import Final

_TOKEN: Final = re.compile(
    r"""
      (?P<skip>\s+|\#[^\n]*)
    | (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)
    | (?P<range>\[[^\]]*\])                             # [5m], [1h:$__interval]
    | (?P<variable>\$\{[^}]*\}|\$\w+|\[\[\w+\]\])       # of Grafana
    | (?P<number>[0-9.][\w.]*)                          # with durations: 5m
    | (?P<name>[A-Za-z_:][A-Za-z0-9_:]*)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_KEYWORDS: Final = frozenset(
    {"and", "or", "unless", "bool", "offset", "atan2", "inf", "nan", "start", "end", "smoothed", "anchored"}
)
_LABELS_FOLLOW: Final = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_AGGREGATIONS: Final = frozenset(
    {
        *("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "quantile"),
        *("topk", "bottomk", "count_values", "limitk", "limit_ratio"),
    }
)
_NAME_MATCHER: Final = re.compile(r"""[{,]\s*__name__\s*=\s*["']([A-Za-z_:][A-Za-z0-9_:]*)["']""")
_SELECTOR: Final = re.compile(r"""\{(?:[^{}"'`]|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)*\}""")


def metric_names(expression: str) -> frozenset[str]:
    """Return the names of the metrics that `expression` reads; of a text that is no PromQL, some of its words."""
    names = set(_NAME_MATCHER.findall(expression))
    # A selector's labels and values are no metrics; a variable of Grafana is no selector.
    tokens = _tokens(
        _SELECTOR.sub(lambda found: " " if expression[found.start() - 1 : found.start()] != "$" else "0", expression)
    )
    depth_of_labels = 0
    for position, (kind, token) in enumerate(tokens):
        following = tokens[position + 1][1] if position + 1 < len(tokens) else ""
        if depth_of_labels:
            depth_of_labels += {"(": 1, ")": -1}.get(token, 0) if kind == "other" else 0
            if depth_of_labels == 1:
                depth_of_labels = 0  # its parenthesis is closed
            continue
        if kind != "name":
            continue
        if token.lower() in _LABELS_FOLLOW and (following == "(" or token.startswith("group_")):
            depth_of_labels = 1 if following == "(" else 0
            continue
        is_function = following == "(" or (token.lower() in _AGGREGATIONS and following.lower() in ("by", "without"))
        if not is_function and token.lower() not in _KEYWORDS:
            names.add(token)
    return frozenset(names)


def _tokens(text: str) -> list[tuple[str, str]]:
    return [(str(m.lastgroup), m[0]) for m in _TOKEN.finditer(text) if m.lastgroup != "skip"]
