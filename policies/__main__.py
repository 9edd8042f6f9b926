"""Serve the rules to the Pulumi engine: `pulumi preview --policy-pack policies`.

Each rule is one policy under the rule's id: mandatory if it is an error, advisory if it is a warning, unless
`--policy-pack-config` says otherwise. What could not be evaluated is reported under policies of their own, which are
mandatory: an advisory rule that nobody could evaluate fails the run, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyConfigSchema,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

if TYPE_CHECKING:
    from policies.rules import LEVELS, NOT_EVALUATED, RULES, UNKNOWN, Manifest, Rule, Violation, evaluate, identity
else:  # the engine runs this folder, so it is what is on sys.path
    from rules import LEVELS, NOT_EVALUATED, RULES, UNKNOWN, Manifest, Rule, Violation, evaluate, identity

ENFORCEMENT = {"error": EnforcementLevel.MANDATORY, "warning": EnforcementLevel.ADVISORY}

# The inputs of each resource by URN. Stack policies get outputs, in which a cluster has set defaults such as
# `replicas: 1`; the rules judge what the program declares. The engine analyzes each resource before the stack.
declared: dict[str, Manifest] = {}

# What the rules could not evaluate: of a resource, by its URN, or of the stack. The SDK runs the policies in their
# order, those that report this last; only the rules' own policies know which of them are disabled, and their values.
unsure: dict[str, list[tuple[str | None, Violation]]] = {}
STACK = ""


def plain(value: Any) -> Any:
    """Turn the SDK's proxies into dicts, lists and whole numbers, with `UNKNOWN` where they would raise."""
    if isinstance(value, Mapping):
        return {key: _known(value, key) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_known(value, index) for index in range(len(value))]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _known(container: Any, key: Any) -> Any:
    try:
        return plain(container[key])
    except UnknownValueError:
        return UNKNOWN


def _declared(args: ResourceValidationArgs) -> Manifest:
    manifest: Manifest = plain(args.props)
    if "spec.replicas" in args.opts.ignore_changes:
        # Left to an autoscaler; the engine repeats the number of the time before.
        manifest = {**manifest, "spec": {key: value for key, value in manifest["spec"].items() if key != "replicas"}}
    return manifest


def _is_kubernetes(resource_type: str) -> bool:
    return resource_type.startswith("kubernetes:")


def _configured(rule: Rule, values: Mapping[str, Any]) -> Rule:
    return rule.configured(rule.severity, plain(values)) if rule.config_schema else rule


def _report(
    found: Violation, urn: str | None, report: ReportViolation, pending: list[tuple[str | None, Violation]]
) -> None:
    if found.outcome == "violation":
        report(found.message, urn)
    else:
        pending.append((urn, found))


def _resource_policy(rule: Rule) -> ResourceValidationPolicy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if not _is_kubernetes(args.resource_type):
            return
        manifest = declared[args.urn] = _declared(args)
        for found in evaluate([manifest], [_configured(rule, args.get_config())]):
            _report(found, None, report, unsure.setdefault(args.urn, []))

    return ResourceValidationPolicy(rule.id, rule.description, validate, ENFORCEMENT[rule.severity], _schema(rule))


def _stack_policy(rule: Rule) -> StackValidationPolicy:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        manifests = {
            resource.urn: declared.get(resource.urn) or plain(resource.props)
            for resource in args.resources
            if _is_kubernetes(resource.resource_type)
        }
        urns = {identity(manifest): urn for urn, manifest in manifests.items()}
        for found in evaluate(manifests.values(), [_configured(rule, args.get_config())]):
            urn = urns.get((found.kind, found.namespace, found.name))
            _report(found, urn, report, unsure.setdefault(STACK, []))

    return StackValidationPolicy(rule.id, rule.description, validate, ENFORCEMENT[rule.severity], _schema(rule))


def _schema(rule: Rule) -> PolicyConfigSchema | None:
    properties = {name: dict(schema) for name, schema in rule.config_schema.items()}
    return PolicyConfigSchema(properties) if properties else None


def _not_evaluated(key: str, report: ReportViolation) -> None:
    for urn, found in unsure.pop(key, ()):
        report(f"{found.rule}: {found.message}", urn)


def policies() -> list[Policy]:
    """Return the policies of the pack: one for each rule, and after them two for what could not be evaluated."""
    resource, stack = NOT_EVALUATED["manifest"], NOT_EVALUATED["stack"]
    return [
        *(_resource_policy(rule) if rule.scope == "manifest" else _stack_policy(rule) for rule in RULES),
        ResourceValidationPolicy(
            resource,
            "Every rule can be evaluated.",
            lambda args, report: _not_evaluated(args.urn, report),
            ENFORCEMENT[LEVELS[resource]],
        ),
        StackValidationPolicy(
            stack,
            "Every stack rule can be evaluated.",
            lambda _, report: _not_evaluated(STACK, report),
            ENFORCEMENT[LEVELS[stack]],
        ),
    ]


PolicyPack("agentstack", policies())
