"""The rules in docs/policies.md, written from the rules themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from policies.rules import FRAMEWORK, GROUPS, LEVELS, Rule

MARKS: Final = ("<!-- rules: written by `agentstack schema` -->\n", "<!-- end of the rules -->\n")
"""Between these lines the rules stand."""


def between(text: str) -> str:
    """Return the text with the rules as they are between its `MARKS`."""
    before, _, rest = text.partition(MARKS[0])
    return f"{before}{MARKS[0]}{document(GROUPS)}{MARKS[1]}{rest.partition(MARKS[1])[2]}"


def document(groups: Mapping[str, Iterable[Rule]]) -> str:
    """Return Markdown: a table for each group of rules, what is found beside them, and the properties of all."""
    headers: tuple[str, ...] = ("rule", "severity", "what it requires", "when it fires", "how to fix it")
    parts = [f"### {title}\n\n{_table(headers, map(_row, rules))}" for title, rules in groups.items()]
    beside = ((f"`{name}`", LEVELS[name], text) for name, text in FRAMEWORK.items())
    parts.append(f"### Beside the rules\n\n{_table(('id', 'severity', 'what it requires'), beside)}")
    if properties := [row for rules in groups.values() for rule in rules for row in _properties(rule)]:
        headers = ("rule", "property", "accepts", "default", "meaning")
        parts.append(f"### Properties\n\n{_table(headers, properties)}")
    return "\n" + "\n".join(parts) + "\n"


def _row(rule: Rule) -> tuple[str, ...]:
    wants = f"{rule.description} ({rule.source})" if rule.source else rule.description
    fires = f"{rule.fires} Not in `agentstack check`." if rule.complete else rule.fires
    return f"`{rule.id}`", rule.severity, wants, fires, _sentence(_plain(rule.remedy))


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


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _plain(text: str) -> str:
    return re.sub(r"([<*_`])", r"\\\1", text)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
