"""Texts with references: `${input}`, `${item}`, and `${STEP}` for what a step has found; `$${` stands for `${`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from manifests.problems import ProblemError
from manifests.secret_text import secret_in_plain_text
from manifests.text import quoted

INPUT: Final = "input"
"""What the client asked."""
ITEM: Final = "item"
"""One item of the list that a step fans out over."""
RESERVED: Final = (INPUT, ITEM)

_REFERENCE: Final = re.compile(r"\$\$\{|\$\{(?P<name>[^{}]*)(?P<end>\}?)")


def references(text: str) -> Iterator[str]:
    """Yield the names that a text refers to, in their order, each as often as it stands there."""
    for match in _REFERENCE.finditer(text):
        if match["name"] is not None:
            yield match["name"]


def filled(text: str, value: str) -> str:
    """Return the text with `value` in the place of every reference, to look at what stands around them."""
    return _REFERENCE.sub(lambda match: "${" if match["name"] is None else value, text)


def _well_formed(text: str) -> str:
    for match in _REFERENCE.finditer(text):
        if match["name"] is not None and not match["end"]:
            raise ProblemError.of("a reference is not closed", "write `${NAME}`, or `$${` for a plain `${`")
        if match["name"] is not None and match["name"] != match["name"].strip():
            raise ProblemError.of("a reference has spaces within", f"write `${{{match['name'].strip()}}}`")
    if secret_in_plain_text("", text):
        raise ProblemError.of("looks like a secret in plain text", "remove it: `code` of the image can read secrets")
    return text


Text = Annotated[str, Field(min_length=1, max_length=65_536), AfterValidator(_well_formed)]
"""A text with references, of at most 65,536 characters."""


def _one_reference(text: str) -> str:
    names = list(references(text))
    if len(names) != 1 or text != f"${{{names[0]}}}":
        raise ProblemError.of(f"{quoted(text)} is not one reference", "write `${STEP}`, and nothing around it")
    return text


Reference = Annotated[
    str,
    AfterValidator(_one_reference),
    Field(json_schema_extra={"pattern": r"^\$\{[a-z0-9]([-a-z0-9]*[a-z0-9])?\}$", "examples": ["${plan}"]}),
]
"""`${STEP}` and nothing else."""


def name_of(reference: str) -> str:
    """Return the name in a `Reference`."""
    return reference.removeprefix("${").removesuffix("}")
