"""The rules in docs/policies.md, written from the rules themselves."""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, Final

from policies.rules import FRAMEWORK, LEVELS, RULES, Rule

MARKS: Final = ("<!-- rules: written by `agentstack schema` -->\n", "<!-- end of the rules -->\n")
"""Between these lines the rules stand."""

_ANY: Final = "…"
"""Stands in a message for what differs from finding to finding."""


def between(text: str) -> str:
    """Return the text with the rules as they are between its `MARKS`."""
    before, _, rest = text.partition(MARKS[0])
    return f"{before}{MARKS[0]}{document(RULES)}{MARKS[1]}{rest.partition(MARKS[1])[2]}"


def document(rules: Iterable[Rule]) -> str:
    """Return Markdown: a table for each module of rules, what is found beside them, and their properties."""
    rules = tuple(rules)
    parts = []
    for module, group in groupby(rules, key=lambda rule: rule.function.__module__):
        title = (inspect.getdoc(sys.modules[module]) or module).partition("\n")[0].partition(". ")[0].rstrip(".")
        headers: tuple[str, ...] = ("rule", "severity", "what it wants", "when it fires", "mend")
        parts.append(f"### {title}\n\n{_table(headers, map(_row, group))}")
    beside = ((f"`{name}`", LEVELS[name], text) for name, text in FRAMEWORK.items())
    parts.append(f"### Beside the rules\n\n{_table(('id', 'severity', 'what it wants'), beside)}")
    if properties := [row for rule in rules for row in _properties(rule)]:
        headers = ("rule", "property", "accepts", "default", "meaning")
        parts.append(f"### Properties\n\n{_table(headers, properties)}")
    return "\n" + "\n".join(parts) + "\n"


def _row(rule: Rule) -> tuple[str, ...]:
    wants = f"{rule.description} ({rule.source})" if rule.source else rule.description
    fires = f"{rule.fires} Not in `agentstack check`." if rule.complete else rule.fires
    return f"`{rule.id}`", rule.severity, wants, fires, _plain("; ".join(mends(rule)))


def _properties(rule: Rule) -> Iterator[tuple[str, ...]]:
    for name, schema in rule.config_schema.items():
        default = f"`{json.dumps(schema['default'])}`" if "default" in schema else "none"
        yield f"`{rule.id}`", f"`{name}`", _accepts(schema), default, schema.get("description", "")


def _accepts(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    words = [f"a list of {schema['items']['type']}s" if schema["type"] == "array" else schema["type"]]
    words += [f"{word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema]
    return " ".join(words)


def _table(headers: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = (headers, ("---",) * len(headers), *rows)
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _plain(text: str) -> str:
    return re.sub(r"([<*_`])", r"\\\1", text)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def mends(rule: Rule) -> list[str]:
    """Return the mends in the messages of a rule, read from its source: what follows the first semicolon."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(rule.function)))
    constants = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    yielded = (node.value for node in ast.walk(tree) if isinstance(node, ast.Yield) and node.value is not None)
    messages = (_message(value, constants) for value in yielded)
    found = (message.partition("; ")[2] for message in messages)
    return list(dict.fromkeys(mend for mend in found if mend.strip("…., ")))


def _message(node: ast.expr, constants: Mapping[str, ast.expr]) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_message(value, constants) for value in values)
        case ast.FormattedValue(value=ast.Name(id=name)) if isinstance(
            constants.get(name), ast.Constant | ast.JoinedStr
        ):
            return _message(constants[name], constants)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _message(left, constants) + _message(right, constants)
    return _ANY
