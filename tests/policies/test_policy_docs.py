"""The rules in docs/policies.md are written from the rules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentstack.authoring.policy_docs import between, document, mends
from policies.rules import FRAMEWORK, RULES
from policies.rules.model import manifest_rule, stack_rule

MEND = "with secretKeyRef"


@manifest_rule(
    "named",
    "warning",
    "Names | pipes.",
    source="kube-linter `x`",
    config_schema={
        "most": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3, "description": "Characters."},
        "names": {"type": "array", "items": {"type": "string"}, "description": "All of them."},
        "mode": {"type": "string", "enum": ["low", "high"], "default": "low", "description": "How."},
    },
)
def named(manifest: Any, config: Any) -> Iterator[str]:
    """Fires
    on any."""
    mend = "set <x>"
    name = manifest["name"]
    yield f"is {name}; {mend} to {name}"
    yield "is " + f"bad; set a_b*: {config['most']}"
    yield "has no mend"


@stack_rule("all", "error", "All.", subjects=lambda stack: (), complete=True)
def whole(manifest: Any, stack: Any) -> Iterator[str]:
    """Fires on all."""
    yield from ()


def test_the_documentation_is_current() -> None:
    text = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()
    assert between(text) == text, "run `agentstack schema`"


def test_every_rule_says_when_it_fires_and_has_one_row() -> None:
    text = document(RULES)
    for rule in RULES:
        assert rule.fires.startswith("Fires"), rule.id
        assert text.count(f"| `{rule.id}` | {rule.severity} |") == 1
    for name in FRAMEWORK:
        assert f"| `{name}` | error |" in text


def test_mends_are_read_from_the_messages() -> None:
    assert mends(named) == ["set <x> to …", "set a_b*: …"]
    assert mends(whole) == []


def test_a_row_has_all_that_a_rule_says() -> None:
    rows = [line for line in document([named, whole]).splitlines() if line.startswith("| `")]
    assert rows[:2] == [
        "| `named` | warning | Names \\| pipes. (kube-linter `x`) | Fires on any. | set \\<x> to …; set a\\_b\\*: … |",
        "| `all` | error | All. | Fires on all. Not in `agentstack check`. |  |",
    ]
    assert rows[-3:] == [
        "| `named` | `most` | integer from 1 to 9 | `3` | Characters. |",
        "| `named` | `names` | a list of strings | none | All of them. |",
        '| `named` | `mode` | `"low"`, `"high"` | `"low"` | How. |',
    ]


def test_the_readme_counts_the_rules():
    assert f"policies  {len(RULES)} rules, nothing found" in (Path(__file__).parents[2] / "README.md").read_text()
