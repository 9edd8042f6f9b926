"""Reading YAML that others wrote."""

from __future__ import annotations

from typing import Any

import pytest

from manifests import loader
from manifests.documents import parsed
from manifests.loader import DEEPEST, BoundedLoader, MalformedError, StrictLoader, TextLoader, compose, load

REPEATED = "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 1000))
DOUBLED = "a0: &a0 [1, 1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
MERGED = "a0: &a0 {k: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 40))
TAG = "unknown tag, or one that does not fit: put the text in quotes"
NUMBER = "a number of more than 40 characters: put it in quotes"
NEITHER = "neither a number nor a switch: put the text in quotes"


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
        ("a: *b", "an alias for what is not there: name an anchor above it"),
        ("a: &b 1\nc: &b 2", "an anchor stands twice: give one of them another name"),
        ("a: 1\n---\nb: 1", "more than one document: remove all but one"),
        ("a: !!timestamp x", TAG),
        ("a: !!python/object/apply:os.system [ls]", TAG),
        ("a: !!map foo", TAG),
        ("a: !!map [ab]", TAG),
        ("a: !!seq {b: 1}", TAG),
        ("a: !!str {? [a] : b, =: foo}", TAG),
        ("!!map foo", TAG),
        (f"a: {'9' * 5000}", NUMBER),
        (f"a: 0x{'f' * 5000}", NUMBER),
        ("a: 1" + ":00" * 250 + ":0.5", NUMBER),
        ("a: 1" + ":1" * 1_000_000, NUMBER),  # Python would need hours
        ("a: !!bool x", NEITHER),
        ("a: !!int x", NEITHER),
    ],
)
def test_what_cannot_be_read_is_refused_at_its_line(text: str, why: str) -> None:
    with pytest.raises(MalformedError) as caught:
        load(text)
    assert str(caught.value) == f"malformed YAML: {why}"
    assert caught.value.line is not None
    assert parsed(text) is None
    if why != NEITHER:
        with pytest.raises(MalformedError):
            compose(text)


@pytest.mark.parametrize(
    ("reader", "text", "value"),
    [
        (BoundedLoader, "a: &a {b: 1}\nc: [*a, *a]\nd: {<<: *a}", {"a": {"b": 1}, "c": [{"b": 1}] * 2, "d": {"b": 1}}),
        (BoundedLoader, "a: 2026-01-01", {"a": "2026-01-01"}),
        (BoundedLoader, "", None),
        # What merges bring stands beside the mapping's own keys, and not twice.
        (StrictLoader, "a: {b: &b {<<: &c {d: 1}, d: 2}}\ne: {<<: *b}", {"a": {"b": {"d": 2}}, "e": {"d": 2}}),
        (TextLoader, "{a: 1.0, b: !!int 5, !!int 6: c, d: ~, e: !!int x}",
         {"a": "1.0", "b": "5", "6": "c", "d": "~", "e": "x"}),
    ],
)  # fmt: skip
def test_all_else_is_read(reader: type[BoundedLoader], text: str, value: Any) -> None:
    assert load(text, reader) == value


def test_as_many_levels_as_are_allowed() -> None:
    found, levels = load("[" * (DEEPEST - 1) + "]" * (DEEPEST - 1)), 1
    while found:
        (found,) = found
        levels += 1
    assert levels == DEEPEST - 1


def test_more_values_than_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "MOST_VALUES", 1000)
    assert len(load("[" + "1," * 998 + "]")) == 998
    with pytest.raises(MalformedError, match=r"more than 1,000 values$"):
        load("[" + "1," * 1000 + "]")


@pytest.mark.parametrize("text", ["{a: 1, a: 2}", "? [a]\n: b", "{<<: {x: 1, x: 2}}"])
def test_unclear_keys(text: str) -> None:
    with pytest.raises(MalformedError, match=r"stands twice: remove one of them|a key must be text"):
        load(text, StrictLoader)
