"""The rules in docs/policies.md are written from the rules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentstack.authoring.policy_docs import between, document
from policies.model import manifest_rule, stack_rule
from policies.rules import FRAMEWORK, GROUPS, RULES, Finding


@manifest_rule(
    "named",
    "warning",
    "Names | pipes.",
    remedy="set <x> to a_b*",
    source="kube-linter `x`",
    config_schema={
        "most": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3, "description": "Characters."},
        "names": {"type": "array", "items": {"type": "string"}, "description": "All of them."},
        "mode": {"type": "string", "enum": ["low", "high"], "default": "low", "description": "How."},
    },
)
def named(manifest: Any, config: Any) -> Iterator[Finding]:
    """Fires
    on any."""
    yield Finding("is bad")


@stack_rule("all", "error", "All.", subjects=lambda stack: (), remedy="do it", complete=True)
def whole(manifest: Any, stack: Any) -> Iterator[Finding]:
    """Fires on all."""
    yield from ()


def test_the_documentation_is_current() -> None:
    text = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()
    assert between(text) == text, "run `agentstack schema`"


def test_every_rule_has_one_row() -> None:
    text = document(GROUPS)
    for rule in RULES:
        assert text.count(f"| `{rule.id}` | {rule.severity} |") == 1
    for name in FRAMEWORK:
        assert f"| `{name}` | error |" in text


def test_a_row_has_all_that_a_rule_says() -> None:
    rows = [line for line in document({"Some": [named, whole]}).splitlines() if line.startswith("| `")]
    assert rows[:2] == [
        "| `named` | warning | Names \\| pipes. (kube-linter `x`) | Fires on any. | Set \\<x> to a\\_b\\*. |",
        "| `all` | error | All. | Fires on all. Not in `agentstack check`. | Do it. |",
    ]
    assert rows[-3:] == [
        "| `named` | `most` | integer from 1 to 9 | `3` | Characters. |",
        "| `named` | `names` | a list of strings | none | All of them. |",
        '| `named` | `mode` | `"low"`, `"high"` | `"low"` | How. |',
    ]


def test_the_readme_counts_the_rules():
    assert f"policies  {len(RULES)} rules, nothing found" in (Path(__file__).parents[2] / "README.md").read_text()
