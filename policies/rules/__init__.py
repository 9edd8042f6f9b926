"""The rules, and `evaluate`, which runs them over Kubernetes objects.

The same rules run in-process and in the policy pack. Wrong types and unknown fields are the business of schema
validation; the rules read past them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from manifests.manifest import Manifest
from manifests.stack import Stack
from policies.findings import Finding, Outcome, Severity, Violation, Waiver
from policies.model import Config, ConfigSchema, Rule, Scope
from policies.waivers import EXPIRED, UNUSED, Waivers

from . import (
    availability,
    budget,
    containers,
    conventions,
    credentials,
    data,
    lifecycle,
    namespaces,
    network,
    observability,
    pods,
    quotas,
    rbac,
    references,
    security,
)

__all__ = [
    "EXPIRED",
    "FRAMEWORK",
    "GROUPS",
    "LEVELS",
    "NOT_EVALUATED",
    "RULES",
    "UNUSED",
    "Config",
    "ConfigSchema",
    "Finding",
    "Outcome",
    "Rule",
    "Severity",
    "Violation",
    "Waiver",
    "Waivers",
    "evaluate",
]

GROUPS: Final[Mapping[str, tuple[Rule, ...]]] = MappingProxyType(
    {
        "Security contexts of containers": security.RULES,
        "Secrets in plain text": credentials.RULES,
        "Images, resources and probes": containers.RULES,
        "Namespaces": namespaces.RULES,
        "Services, disruption budgets and autoscalers": availability.RULES,
        "Pod Security Standards": pods.RULES,
        "Roles and bindings": rbac.RULES,
        "Quotas and limits": quotas.RULES,
        "Lifecycle of pods and jobs": lifecycle.RULES,
        "References between objects": references.RULES,
        "Network": network.RULES,
        "API versions, labels and names": conventions.RULES,
        "Redis and Kafka": data.RULES,
        "Alerts and dashboards": observability.RULES,
        "Cost": budget.RULES,
    }
)
"""The rules by topic, in the order in which they are run and reported."""

RULES: Final[tuple[Rule, ...]] = tuple(rule for group in GROUPS.values() for rule in group)


NOT_EVALUATED: Final[Mapping[Scope, str]] = MappingProxyType(
    {"manifest": "not-evaluated", "stack": "stack-not-evaluated"}
)
"""The policies, beside the rules, under which the engine shows that a rule could not be evaluated."""

FRAMEWORK: Final[Mapping[str, str]] = MappingProxyType(
    {
        NOT_EVALUATED["manifest"]: "Every rule can be evaluated.",
        NOT_EVALUATED["stack"]: "Every stack rule can be evaluated.",
        EXPIRED: "No waiver is out of date.",
        UNUSED: "Every waiver waives something.",
    }
)
"""What is found beside the rules, and configured like one, with what it wants."""

LEVELS: Final[Mapping[str, Severity]] = MappingProxyType(dict.fromkeys(FRAMEWORK, "error"))
"""The severities of the `FRAMEWORK`."""


def evaluate(
    manifests: Iterable[Manifest], rules: Iterable[Rule] = RULES, *, levels: Mapping[str, Severity] = LEVELS
) -> list[Violation]:
    """Run `rules` over `manifests`, the whole stack, as plain JSON data with `UNKNOWN` for unknown values.

    Never raises. A rule that meets an unknown value, or fails, on an object is reported for that object with
    the outcome `not evaluated` and the severity that `levels` gives it, whatever the rule's own; without one there it
    is not reported. Sorted by rule, in the order of `rules`, then by object, in the order of `manifests`.
    """
    stack = Stack(manifests)
    found = []
    for rule in rules:
        severity = levels.get(NOT_EVALUATED[rule.scope])
        for violation in rule.evaluate(stack):
            if violation.outcome == "violation":
                found.append(violation)
            elif severity is not None:
                found.append(replace(violation, severity=severity))
    return found
