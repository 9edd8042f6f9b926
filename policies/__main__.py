"""Serve the rules to the Pulumi engine: `pulumi preview --policy-pack policies`.

Each rule is one policy under the rule's id: mandatory if it is an error, advisory if it is a warning. What could
not be evaluated is reported under policies of its own, which are mandatory: an advisory rule that nobody could
evaluate fails the run, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

if TYPE_CHECKING:
    from policies.rules import RULES, UNKNOWN, Manifest, Outcome, Rule, evaluate, identity
else:  # the engine runs this folder, so it is what is on sys.path
    from rules import RULES, UNKNOWN, Manifest, Outcome, Rule, evaluate, identity

ENFORCEMENT = {"error": EnforcementLevel.MANDATORY, "warning": EnforcementLevel.ADVISORY}

# The inputs of each resource by URN. Stack policies get outputs, in which a cluster has set defaults such as
# `replicas: 1`; the rules judge what the program declares. The engine analyzes each resource before the stack.
declared: dict[str, Manifest] = {}


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


def resource_policy(
    name: str, description: str, level: EnforcementLevel, rules: Sequence[Rule], outcome: Outcome
) -> Policy:
    """Make a policy that reports the findings of `rules` that have this `outcome` on one resource."""

    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if not _is_kubernetes(args.resource_type):
            return
        manifest = declared[args.urn] = _declared(args)
        for found in evaluate([manifest], rules):
            if found.outcome == outcome:
                report(_message(found.rule, name, found.message), None)

    return ResourceValidationPolicy(name, description, validate, level)


def stack_policy(
    name: str, description: str, level: EnforcementLevel, rules: Sequence[Rule], outcome: Outcome
) -> Policy:
    """Make a policy that reports the findings of `rules` that have this `outcome` on the stack."""

    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        manifests = {
            resource.urn: declared.get(resource.urn) or plain(resource.props)
            for resource in args.resources
            if _is_kubernetes(resource.resource_type)
        }
        urns = {identity(manifest): urn for urn, manifest in manifests.items()}
        for found in evaluate(manifests.values(), rules):
            if found.outcome == outcome:
                urn = urns.get((found.kind, found.namespace, found.name))
                report(_message(found.rule, name, found.message), urn)

    return StackValidationPolicy(name, description, validate, level)


def _message(rule: str, policy: str, message: str) -> str:
    return message if rule == policy else f"{rule}: {message}"


def policies() -> list[Policy]:
    """Return the policies of the pack: one for each rule, and two for what could not be evaluated."""
    made = {"manifest": resource_policy, "stack": stack_policy}
    of_manifests = [rule for rule in RULES if rule.scope == "manifest"]
    of_stacks = [rule for rule in RULES if rule.scope == "stack"]
    mandatory = EnforcementLevel.MANDATORY
    return [
        *(
            made[rule.scope](rule.id, rule.description, ENFORCEMENT[rule.severity], [rule], "violation")
            for rule in RULES
        ),
        resource_policy("not-evaluated", "Every rule can be evaluated.", mandatory, of_manifests, "not evaluated"),
        stack_policy(
            "stack-not-evaluated", "Every stack rule can be evaluated.", mandatory, of_stacks, "not evaluated"
        ),
    ]


PolicyPack("agentstack", policies())
