"""Reading YAML that others wrote."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import yaml

from policies.rules.documents import parsed
from policies.rules.loader import DEEPEST, BoundedLoader

REPEATED = "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 1000))
DOUBLED = "a0: &a0 [1, 1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
MERGED = "a0: &a0 {k: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 40))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 100_000, "more than 200 levels"),
        ("{a: " * 100_000, "more than 200 levels"),
        ("- " * 100_000 + "a", "more than 200 levels"),
        (REPEATED, "more than 200 levels, with what aliases repeat"),
        (DOUBLED, "more than 1,000,000 values, with what aliases repeat"),
        (MERGED, "more than 1,000,000 values, with what aliases repeat"),
        ("a: &a [*a]", "an alias repeats the group that it is in"),
        ("a: &a {b: {c: *a}}", "an alias repeats the group that it is in"),
        ("a: !!timestamp x", "unknown tag: put the text in quotes"),
        ("a: !!python/object/apply:os.system [ls]", "unknown tag: put the text in quotes"),
        (f"a: {'9' * 5000}", "neither a number nor a switch: put the text in quotes"),
        ("a: !!bool x", "neither a number nor a switch: put the text in quotes"),
    ],
)
def test_what_exhausts_a_reader_is_refused_at_its_line(text: str, why: str) -> None:
    with pytest.raises(yaml.MarkedYAMLError) as caught:
        yaml.load(text, BoundedLoader)
    assert caught.value.problem == why
    assert caught.value.problem_mark is not None
    assert parsed(text) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[" * (DEEPEST - 1) + "]" * (DEEPEST - 1), functools.reduce(lambda inner, _: [inner], range(DEEPEST - 2), [])),
        ("a: &a {b: 1}\nc: [*a, *a]\nd: {<<: *a}", {"a": {"b": 1}, "c": [{"b": 1}, {"b": 1}], "d": {"b": 1}}),
        ("a: 2026-01-01", {"a": "2026-01-01"}),
    ],
)
def test_all_else_is_read(text: str, value: Any) -> None:
    assert yaml.load(text, BoundedLoader) == value
