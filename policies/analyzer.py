"""The rules as a policy pack, in the engine's protocol.

The SDK's server reads each resource once for every policy; this one reads it once and gives all rules the same plain
data. It answers as the SDK's does: the tests hold the two against each other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import grpc  # type: ignore[import-untyped]
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import analyzer_pb2 as proto
from pulumi.runtime.proto import plugin_pb2
from pulumi.runtime.proto.analyzer_pb2_grpc import AnalyzerServicer, add_AnalyzerServicer_to_server
from pulumi_policy.version import VERSION

from manifests.fields import known
from manifests.manifest import Manifest, identity
from policies import rules
from policies.findings import Severity, Violation, Waiver
from policies.model import Config, ConfigSchema, Rule, Scope
from policies.properties import plain
from policies.waivers import Waivers

NAME: Final = "agentstack"
_VERSION: Final = "0.0.1"
"""The engine takes that of PulumiPolicy.yaml instead."""
_LARGEST_MESSAGE: Final = 400 * 1024**2
"""Bytes; a whole stack comes in one message."""
_LEVELS: Final[Mapping[Severity, proto.EnforcementLevel.ValueType]] = {
    "error": proto.MANDATORY,
    "warning": proto.ADVISORY,
}
_TYPES: Final[Mapping[Scope, proto.PolicyType.ValueType]] = {
    "manifest": proto.POLICY_TYPE_RESOURCE,
    "stack": proto.POLICY_TYPE_STACK,
}


@dataclass(frozen=True)
class Policy:
    """What the engine knows, configures and reports by one name."""

    name: str
    description: str
    scope: Scope
    level: proto.EnforcementLevel.ValueType
    remedy: str = ""
    config_schema: ConfigSchema = field(default_factory=dict)


@dataclass(frozen=True)
class PolicyReport:
    """What is found under the name of a policy."""

    policy: str
    message: str
    urn: str = ""
    """The resource; empty for the one that is analyzed, and for the stack."""


def _policies(all_rules: Iterable[Rule]) -> Iterator[Policy]:
    """Yield one policy for each rule, and after them what is found beside the rules."""
    for rule in all_rules:
        yield Policy(
            rule.id, rule.description, rule.scope, _LEVELS[rule.severity], rule.remedy, config_schema=rule.config_schema
        )
    for name, description in rules.FRAMEWORK.items():
        scope: Scope = "manifest" if name == rules.NOT_EVALUATED["manifest"] else "stack"
        yield Policy(name, description, scope, _LEVELS[rules.LEVELS[name]])


class Analyzer(AnalyzerServicer):
    """One run of the engine: the objects that it has sent, and the waivers that they have used."""

    def __init__(self, waivers: Iterable[Waiver], waiver_file: str, all_rules: Iterable[Rule] = rules.RULES) -> None:
        self._rules = tuple(all_rules)
        self._policies = {policy.name: policy for policy in _policies(self._rules)}
        self._configure({}, {})
        self._waivers = tuple(waivers)
        self._waiver_file = waiver_file
        self._used: set[Waiver] = set()
        # The inputs of each resource by URN. The stack is sent with outputs, in which a cluster has set defaults such
        # as `replicas: 1`; the rules judge what the program declares. Each resource is sent before the stack.
        self._declared: dict[str, Manifest] = {}

    def GetAnalyzerInfo(self, request: Empty, context: Any) -> proto.AnalyzerInfo:
        """Return the policies and what of them can be configured."""
        info = proto.AnalyzerInfo(name=NAME, version=_VERSION, supportsConfig=True)
        for policy in self._policies.values():
            described = info.policies.add(
                name=policy.name,
                description=policy.description,
                enforcementLevel=policy.level,
                policy_type=_TYPES[policy.scope],
                remediation_steps=policy.remedy,
            )
            described.configSchema.properties.update({key: dict(item) for key, item in policy.config_schema.items()})
        return info

    def GetPluginInfo(self, request: Empty, context: Any) -> plugin_pb2.PluginInfo:
        """Return the version of the SDK whose protocol this is."""
        return plugin_pb2.PluginInfo(version=VERSION)

    def Configure(self, request: proto.ConfigureAnalyzerRequest, context: Any) -> Empty:
        """Take the levels and values of policies by their names; those that are not named have their own."""
        given = request.policyConfig.items()
        self._configure(
            {name: config.enforcementLevel for name, config in given},
            {name: plain(config.properties) for name, config in given},
        )
        return Empty()

    def ConfigureStack(
        self, request: proto.AnalyzerStackConfigureRequest, context: Any
    ) -> proto.AnalyzerStackConfigureResponse:
        """Take what the rules have no need of: each URN names the stack."""
        return proto.AnalyzerStackConfigureResponse()

    def Remediate(self, request: proto.AnalyzeRequest, context: Any) -> proto.RemediateResponse:
        """Change nothing: no policy can."""
        response = proto.RemediateResponse()
        for policy in self._policies.values():
            if policy.scope == "manifest" and self._levels[policy.name] == proto.REMEDIATE:
                reason = "Policy does not implement remediate"
                response.not_applicable.add(policy_name=policy.name, reason=reason)
        return response

    def Analyze(self, request: proto.AnalyzeRequest, context: Any) -> proto.AnalyzeResponse:
        """Judge one object by the rules that need no other."""
        if not _is_kubernetes(request.type):
            return proto.AnalyzeResponse()
        manifest = self._declared[request.urn] = _declared(request)
        found = self._evaluate([manifest], "manifest")
        return self._response(self._reports(found, self._waivers_of(request.urn), "manifest", {}))

    def AnalyzeStack(self, request: proto.AnalyzeStackRequest, context: Any) -> proto.AnalyzeResponse:
        """Judge all objects together, and the waivers."""
        if not request.resources:
            return proto.AnalyzeResponse()
        manifests = {
            resource.urn: self._declared.get(resource.urn) or plain(resource.properties)
            for resource in request.resources
            if _is_kubernetes(resource.type)
        }
        urns = {identity(manifest): urn for urn, manifest in manifests.items()}
        waivers = self._waivers_of(request.resources[0].urn)
        found = self._evaluate(manifests.values(), "stack")
        reports = [
            *self._reports(found, waivers, "stack", urns),
            *(self._about(waivers, rules.EXPIRED, waiver) for waiver in waivers.expired),
        ]
        # With --target the other objects are not looked at.
        unseen = [identity(manifest) for urn, manifest in manifests.items() if urn not in self._declared]
        for waiver in waivers.holding:
            if waiver not in self._used and not any(waiver.is_about(*each) for each in unseen):
                reports.append(self._about(waivers, rules.UNUSED, waiver))
        return self._response(reports)

    def _configure(self, levels: Mapping[str, proto.EnforcementLevel.ValueType], values: Mapping[str, Config]) -> None:
        self._levels = {name: levels.get(name, policy.level) for name, policy in self._policies.items()}
        self._active = [
            rule.configured(rule.severity, values.get(rule.id, {}))
            for rule in self._rules
            if self._levels[rule.id] != proto.DISABLED
        ]

    def _evaluate(self, manifests: Iterable[Manifest], scope: Scope) -> list[Violation]:
        return rules.evaluate(manifests, [rule for rule in self._active if rule.scope == scope])

    def _waivers_of(self, urn: str) -> Waivers:
        """Return the waivers of the stack that a resource belongs to: its URN is the only thing that always tells."""
        return Waivers.of(self._waivers, urn.split(":")[2], datetime.now(UTC).date())

    def _reports(
        self,
        violations: Iterable[Violation],
        waivers: Waivers,
        scope: Scope,
        urns: Mapping[tuple[str, str, str], str],
    ) -> Iterator[PolicyReport]:
        """Yield what is not waived, and after it, under a name of its own, what could not be evaluated."""
        not_evaluated = []
        for violation in violations:
            self._used.update(waiver for waiver in waivers.holding if waiver.concerns(violation))
            urn = urns.get((violation.kind, violation.namespace, violation.name), "")
            if violation.outcome != "violation":
                message = f"{violation.rule}: {violation.message}"
                not_evaluated.append(PolicyReport(rules.NOT_EVALUATED[scope], message, urn))
            elif not waivers.covering(violation):
                yield PolicyReport(violation.rule, violation.message, urn)
        yield from not_evaluated

    def _about(self, waivers: Waivers, name: str, waiver: Waiver) -> PolicyReport:
        problem = waivers.problem(name, waiver, rules.LEVELS[name])
        return PolicyReport(name, f"{self._waiver_file}:{waiver.line}: {waiver.resource}: {problem.message}")

    def _response(self, reports: Iterable[PolicyReport]) -> proto.AnalyzeResponse:
        response = proto.AnalyzeResponse()
        for report in reports:
            policy, level = self._policies[report.policy], self._levels[report.policy]
            if level != proto.DISABLED:
                response.diagnostics.add(
                    policyName=policy.name,
                    policyPackName=NAME,
                    policyPackVersion=_VERSION,
                    description=policy.description,
                    message=f"{policy.description}\n{report.message}",
                    # Nothing can be remediated: such a finding stops the run.
                    enforcementLevel=proto.MANDATORY if level == proto.REMEDIATE else level,
                    urn=report.urn,
                )
        return response


def _is_kubernetes(resource_type: str) -> bool:
    return resource_type.startswith("kubernetes:")


def _declared(request: proto.AnalyzeRequest) -> Manifest:
    manifest = plain(request.properties)
    spec = known(manifest, "spec")
    if "spec.replicas" in request.options.ignoreChanges and isinstance(spec, Mapping):
        # Left to an autoscaler; the engine repeats the number of the time before.
        manifest["spec"] = {key: value for key, value in spec.items() if key != "replicas"}
    return manifest


def serve(analyzer: Analyzer) -> None:
    """Answer the engine until it ends the process; it reads the port from standard output."""
    # One request after another: they share the state of the run, and all of it is computing.
    options = [("grpc.max_receive_message_length", _LARGEST_MESSAGE)]
    server = grpc.server(ThreadPoolExecutor(max_workers=1), options=options)
    add_AnalyzerServicer_to_server(analyzer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.wait_for_termination()
    server.stop(None)
