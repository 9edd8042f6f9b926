"""Searching a file for plain marks first finds the same secrets."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests import secret_text

FORMS = [form.strip() for form in re.sub(r"\s#.*", "", secret_text._SECRET_IN_FILE.pattern).split("\n    | ")]
PIECES = st.sampled_from(
    [*secret_text._MARKS, " ", "\n", "a", "A" * 20, "7" * 40, "x" * 36, ".eyJ" + "b" * 12, "task-"]
)


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_found(form: str) -> None:
    @settings(max_examples=30, deadline=None)
    @given(st.from_regex(re.compile(form, re.VERBOSE)))
    def check(text: str) -> None:
        assert secret_text.secret_in_file(text)

    check()


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join))
def test_any_text_is_judged_as_by_the_forms_alone(text: str) -> None:
    assert secret_text.secret_in_file(text) == bool(secret_text._SECRET_IN_FILE.search(text))
