"""Serve the rules to the Pulumi engine: `pulumi preview --policy-pack policies`.

Each rule is one policy under the rule's id: mandatory if it is an error, advisory if it is a warning, unless
`--policy-pack-config` says otherwise. What could not be evaluated is reported under policies of their own, which are
mandatory: an advisory rule that nobody could evaluate fails the run, too. So are those that watch over `waivers.yaml`,
which lies beside this file.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

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

from manifests.fields import UNKNOWN
from manifests.manifest import Manifest, identity
from policies import rules
from policies.rules import RULES, Rule, Violation, Waiver, Waivers, evaluate
from policies.waiver_file import WaiverFileError, read_waivers

WAIVER_FILE = pathlib.Path(__file__).with_name("waivers.yaml")

ENFORCEMENT = {"error": EnforcementLevel.MANDATORY, "warning": EnforcementLevel.ADVISORY}

# The inputs of each resource by URN. Stack policies get outputs, in which a cluster has set defaults such as
# `replicas: 1`; the rules judge what the program declares. The engine analyzes each resource before the stack.
declared: dict[str, Manifest] = {}

# What the rules could not evaluate: of a resource, by its URN, or of the stack. The SDK runs the policies in their
# order, those that report this last; only the rules' own policies know which of them are disabled, and their values.
unsure: dict[str, list[tuple[str | None, Violation]]] = {}
STACK = ""

written: tuple[Waiver, ...] = ()
# Those that named a finding of this run.
used: set[Waiver] = set()


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


def _waivers(urn: str) -> Waivers:
    """Return the waivers of the stack that a resource belongs to: its URN is the only thing that always tells."""
    return Waivers.of(written, urn.split(":")[2], datetime.now(UTC).date())


def _report(found: Violation, urn: str, report: ReportViolation, *, on: str | None, key: str) -> None:
    waivers = _waivers(urn)
    used.update(waiver for waiver in waivers.holding if waiver.concerns(found))
    if found.outcome != "violation":
        unsure.setdefault(key, []).append((on, found))
    elif not waivers.covering(found):
        report(found.message, on)


def _resource_policy(rule: Rule) -> ResourceValidationPolicy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if not _is_kubernetes(args.resource_type):
            return
        manifest = declared[args.urn] = _declared(args)
        for found in evaluate([manifest], [_configured(rule, args.get_config())]):
            _report(found, args.urn, report, on=None, key=args.urn)

    return ResourceValidationPolicy(rule.id, rule.description, validate, ENFORCEMENT[rule.severity], _schema(rule))


def _stack_policy(rule: Rule) -> StackValidationPolicy:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        manifests = _manifests(args)
        urns = {identity(manifest): urn for urn, manifest in manifests.items()}
        for found in evaluate(manifests.values(), [_configured(rule, args.get_config())]):
            urn = urns.get((found.kind, found.namespace, found.name))
            _report(found, next(iter(manifests)), report, on=urn, key=STACK)

    return StackValidationPolicy(rule.id, rule.description, validate, ENFORCEMENT[rule.severity], _schema(rule))


def _manifests(args: StackValidationArgs) -> dict[str, Manifest]:
    return {
        resource.urn: declared.get(resource.urn) or plain(resource.props)
        for resource in args.resources
        if _is_kubernetes(resource.resource_type)
    }


def _schema(rule: Rule) -> PolicyConfigSchema | None:
    properties = {name: dict(schema) for name, schema in rule.config_schema.items()}
    return PolicyConfigSchema(properties) if properties else None


def _not_evaluated(key: str, report: ReportViolation) -> None:
    for urn, found in unsure.pop(key, ()):
        report(f"{found.rule}: {found.message}", urn)


def _expired(args: StackValidationArgs, report: ReportViolation) -> None:
    for resource in args.resources[:1]:
        waivers = _waivers(resource.urn)
        for waiver in waivers.expired:
            report(_said(waivers, rules.EXPIRED, waiver), None)


def _unused(args: StackValidationArgs, report: ReportViolation) -> None:
    # With --target the other objects are not looked at.
    unseen = [identity(manifest) for urn, manifest in _manifests(args).items() if urn not in declared]
    for resource in args.resources[:1]:
        waivers = _waivers(resource.urn)
        for waiver in waivers.holding:
            if waiver not in used and not any(waiver.is_about(*each) for each in unseen):
                report(_said(waivers, rules.UNUSED, waiver), None)


def _said(waivers: Waivers, rule: str, waiver: Waiver) -> str:
    found = waivers.problem(rule, waiver, rules.LEVELS[rule])
    return f"{WAIVER_FILE.name}:{waiver.line}: {waiver.resource}: {found.message}"


def policies() -> list[Policy]:
    """Return the policies of the pack: one for each rule, and after them what is found beside the rules."""
    resource, stack = rules.NOT_EVALUATED["manifest"], rules.NOT_EVALUATED["stack"]
    beside = {
        stack: lambda _, report: _not_evaluated(STACK, report),
        rules.EXPIRED: _expired,
        rules.UNUSED: _unused,
    }
    return [
        *(_resource_policy(rule) if rule.scope == "manifest" else _stack_policy(rule) for rule in RULES),
        ResourceValidationPolicy(
            resource,
            rules.FRAMEWORK[resource],
            lambda args, report: _not_evaluated(args.urn, report),
            ENFORCEMENT[rules.LEVELS[resource]],
        ),
        *(
            StackValidationPolicy(name, rules.FRAMEWORK[name], validate, ENFORCEMENT[rules.LEVELS[name]])
            for name, validate in beside.items()
        ),
    ]


try:
    written = read_waivers(WAIVER_FILE, [rule.id for rule in RULES])
except WaiverFileError as error:
    sys.exit(str(error))
PolicyPack("agentstack", policies())
