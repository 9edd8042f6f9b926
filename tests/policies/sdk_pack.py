"""The same rules served by the SDK, one policy after the other: what `policies.analyzer` must answer as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyConfigSchema,
    ResourceValidationPolicy,
    StackValidationPolicy,
)
from pulumi_policy.policy import _PolicyAnalyzerServicer
from pulumi_policy.proxy import UnknownValueError

from manifests.fields import UNKNOWN
from manifests.manifest import identity
from policies import rules
from policies.rules import Rule, evaluate

LEVELS = {"error": EnforcementLevel.MANDATORY, "warning": EnforcementLevel.ADVISORY}


def plain(value: Any) -> Any:
    """Turn the SDK's proxies into plain data."""
    if isinstance(value, Mapping):
        return {key: known(value, key) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [known(value, index) for index in range(len(value))]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def known(container: Any, key: Any) -> Any:
    try:
        return plain(container[key])
    except UnknownValueError:
        return UNKNOWN


def is_kubernetes(resource: Any) -> bool:
    return resource.resource_type.startswith("kubernetes:")


class Reference:
    """One run, without waivers."""

    def __init__(self) -> None:
        self.declared: dict[str, Any] = {}
        self.unsure: dict[str, list[tuple[str, str | None]]] = {}

    def served(self) -> _PolicyAnalyzerServicer:
        policies: list[Policy] = [
            self.of_resources(rule) if rule.scope == "manifest" else self.of_stack(rule) for rule in rules.RULES
        ]
        for name, description in rules.FRAMEWORK.items():
            kind = ResourceValidationPolicy if name == "not-evaluated" else StackValidationPolicy
            check = self.not_evaluated if name in rules.NOT_EVALUATED.values() else lambda args, report: None
            policies.append(kind(name, description, check, LEVELS[rules.LEVELS[name]]))
        return _PolicyAnalyzerServicer("agentstack", "0.0.1", policies, EnforcementLevel.ADVISORY)

    def of_resources(self, rule: Rule) -> Policy:
        def validate(args: Any, report: Any) -> None:
            if is_kubernetes(args):
                manifest = self.declared[args.urn] = plain(args.props)
                self.report(rule, [manifest], {}, args, report)

        return policy(ResourceValidationPolicy, rule, validate)

    def of_stack(self, rule: Rule) -> Policy:
        def validate(args: Any, report: Any) -> None:
            found = {r.urn: self.declared.get(r.urn) or plain(r.props) for r in args.resources if is_kubernetes(r)}
            self.report(rule, found.values(), {identity(m): urn for urn, m in found.items()}, args, report)

        return policy(StackValidationPolicy, rule, validate)

    def report(self, rule: Rule, manifests: Any, urns: Any, args: Any, report: Any) -> None:
        configured = rule.configured(rule.severity, plain(args.get_config()))
        for found in evaluate(manifests, [configured]):
            urn = urns.get((found.kind, found.namespace, found.name))
            if found.outcome == "violation":
                report(found.message, urn)
            else:
                key = getattr(args, "urn", "")
                self.unsure.setdefault(key, []).append((f"{rule.id}: {found.message}", urn))

    def not_evaluated(self, args: Any, report: Any) -> None:
        for message, urn in self.unsure.pop(getattr(args, "urn", ""), ()):
            report(message, urn)


def policy(kind: Any, rule: Rule, validate: Any) -> Policy:
    properties = {name: dict(schema) for name, schema in rule.config_schema.items()}
    schema = PolicyConfigSchema(properties) if properties else None
    made: Policy = kind(
        rule.id, rule.description, validate, LEVELS[rule.severity], schema, remediation_steps=rule.remedy
    )
    return made
