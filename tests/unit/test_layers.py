"""Which package may know which (README, The rooms): the rules run alone in the engine, settings have no clusters."""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[2]
OURS = {"settings", "components", "policies", "agentstack"}
MAY_IMPORT = {
    "policies": set(),
    "settings": {"policies"},
    "components": {"policies", "settings"},
    "agentstack": {"policies", "settings", "components"},
}
# What settings may know of the rules: what looks like a secret, how to read YAML, quantities and schedules, words for
# mistakes.
OF_THE_RULES = {f"policies.rules.{name}" for name in ("cron", "credentials", "loader", "quantities", "words")}


def imported(file: pathlib.Path) -> Iterator[str]:
    """The modules that a file imports, wherever in it; relative imports stay within a package."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_a_package_imports_only_what_is_below_it(package: str) -> None:
    allowed = {package, *MAY_IMPORT[package]}
    files = list((ROOT / package).rglob("*.py"))
    assert files
    wrong = {
        f"{file.relative_to(ROOT)}: {name}"
        for file in files
        for name in imported(file)
        if name.partition(".")[0] in OURS - allowed
    }
    assert wrong == set()


def test_the_rules_import_neither_the_sdk_nor_each_other_by_their_package() -> None:
    """In the engine they are the package `rules`, beside nothing but what the SDK brings."""
    found = {name for file in (ROOT / "policies" / "rules").rglob("*.py") for name in imported(file)}
    assert {name for name in found if name.partition(".")[0] in {*OURS, "pulumi", "pulumi_policy", "pydantic"}} == set()


def test_settings_know_of_the_rules_what_they_have_to() -> None:
    found = {name for file in (ROOT / "settings").rglob("*.py") for name in imported(file)}
    assert {name for name in found if name.startswith("policies")} == OF_THE_RULES
    assert {name for name in found if name.startswith(("pulumi_kubernetes", "kubernetes"))} == set()
