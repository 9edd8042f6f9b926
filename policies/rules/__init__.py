"""The rules, and `evaluate`, which runs them over Kubernetes objects.

Standard library only: the same rules run in-process and in the policy pack, where this package is the
top-level module `rules`. Hence the relative imports. Wrong types and unknown fields are the business of
schema validation; the rules read past them.
"""

from __future__ import annotations

from collections.abc import Iterable

from . import availability, containers, credentials, namespaces, security
from .model import Manifest, Outcome, Rule, Severity, Violation, identity
from .reading import UNKNOWN
from .stack import Stack

__all__ = [
    "RULES",
    "UNKNOWN",
    "Manifest",
    "Outcome",
    "Rule",
    "Severity",
    "Stack",
    "Violation",
    "evaluate",
    "identity",
]

RULES: tuple[Rule, ...] = (
    *security.RULES,
    *credentials.RULES,
    *containers.RULES,
    *namespaces.RULES,
    *availability.RULES,
)


def evaluate(manifests: Iterable[Manifest], rules: Iterable[Rule] = RULES) -> list[Violation]:
    """Run `rules` over `manifests`, the whole stack, as plain JSON data with `UNKNOWN` for unknown values.

    Never raises. A rule that meets an unknown value, or fails, on an object is reported for that object with
    the outcome `not evaluated` and the severity `error`, whatever the rule's own. Sorted by rule, in the
    order of `rules`, then by object, in the order of `manifests`.
    """
    stack = Stack(manifests)
    return [violation for rule in rules for violation in rule.evaluate(stack)]
