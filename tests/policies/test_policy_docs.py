"""The table in docs/policies.md is the list of the rules."""

from __future__ import annotations

from pathlib import Path

from policies.rules import RULES


def test_the_documentation_lists_every_rule() -> None:
    text = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()
    table = text.partition("## The rules")[2].partition("## A new rule")[0]
    assert [line for line in table.splitlines() if line.startswith("| `")] == [
        f"| `{rule.id}` | {rule.severity} | {rule.description} |" for rule in RULES
    ]
