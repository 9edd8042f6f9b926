"""The pack as the engine meets it: the SDK's server with real requests, proxies and unknown values."""

import runpy
import subprocess
import sys

import grpc
import pulumi_policy
import pytest
from google.protobuf import empty_pb2, struct_pb2
from policy_baseline import DELETE, baseline, change, changed
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc
from pulumi_policy.policy import _PolicyAnalyzerServicer
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, unknown_checking_proxy

from policies.rules import RULES

API = "spec.template.spec.containers[0]"
MANDATORY, ADVISORY = analyzer_pb2.MANDATORY, analyzer_pb2.ADVISORY


def run_pack(folder, monkeypatch):
    """Run the pack's program as the engine does, up to the point where it would serve."""
    made = []
    monkeypatch.setattr(pulumi_policy, "PolicyPack", lambda name, policies: made.append((name, policies)))
    program = runpy.run_path(str(folder), run_name="__main__")
    [(name, policies)] = made
    return program, name, policies


@pytest.fixture
def folder(request):
    return request.config.rootpath / "policies"


@pytest.fixture
def program(folder, monkeypatch):
    return run_pack(folder, monkeypatch)[0]


@pytest.fixture
def server(folder, monkeypatch):
    _, name, policies = run_pack(folder, monkeypatch)
    return _PolicyAnalyzerServicer(name, "0.0.1", policies, pulumi_policy.EnforcementLevel.ADVISORY)


def urn_of(manifest):
    group = manifest["apiVersion"] if "/" in manifest["apiVersion"] else f"core/{manifest['apiVersion']}"
    metadata = manifest["metadata"]
    name = f"{metadata.get('namespace', '')}-{metadata['name']}"
    return f"urn:pulumi:dev::p::kubernetes:{group}:{manifest['kind']}::{name}"


def request_for(manifest, message=analyzer_pb2.AnalyzeRequest):
    properties = struct_pb2.Struct()
    properties.update(manifest)
    urn = urn_of(manifest)
    return message(type=urn.split("::")[2], properties=properties, urn=urn, name=urn.split("::")[3])


def analyze(server, manifests):
    return [d for m in manifests for d in server.Analyze(request_for(m), None).diagnostics]


def analyze_stack(server, manifests):
    resources = [request_for(m, analyzer_pb2.AnalyzerResource) for m in manifests]
    return list(server.AnalyzeStack(analyzer_pb2.AnalyzeStackRequest(resources=resources), None).diagnostics)


def one(manifests, kind, name):
    return next(m for m in manifests if m["kind"] == kind and m["metadata"]["name"] == name)


def test_the_pack_serves_every_rule_and_what_could_not_be_evaluated(server):
    info = server.GetAnalyzerInfo(None, None)
    levels = {policy.name: policy.enforcementLevel for policy in info.policies}
    assert levels == {rule.id: MANDATORY if rule.severity == "error" else ADVISORY for rule in RULES} | {
        "not-evaluated": MANDATORY,
        "stack-not-evaluated": MANDATORY,
    }
    kinds = {policy.name: policy.policy_type for policy in info.policies}
    for rule in RULES:
        expected = "POLICY_TYPE_RESOURCE" if rule.scope == "manifest" else "POLICY_TYPE_STACK"
        assert analyzer_pb2.PolicyType.Name(kinds[rule.id]) == expected


def test_replicas_that_are_left_to_an_autoscaler_are_not_declared(server):
    """The engine repeats the number that was declared before there was one."""
    manifests = changed(("Deployment/api", "spec.replicas", 5))
    found = [d.policyName for m in manifests for d in server.Analyze(request_for(m), None).diagnostics]
    assert found == []
    assert "single-replicas-owner" in {d.policyName for d in analyze_stack(server, manifests)}

    left = request_for(one(manifests, "Deployment", "api"))
    left.options.ignoreChanges.append("spec.replicas")
    server.Analyze(left, None)
    assert analyze_stack(server, manifests) == []


def test_the_baseline_passes(server):
    assert analyze(server, baseline()) == []
    assert analyze_stack(server, baseline()) == []


def test_a_violation_reaches_the_engine(server):
    [diagnostic] = analyze(server, changed(("Deployment/api", f"{API}.image", "api")))
    assert (diagnostic.policyName, diagnostic.enforcementLevel) == ("image-tag", MANDATORY)
    assert 'container "api"' in diagnostic.message

    [diagnostic] = analyze(server, changed(("Deployment/api", f"{API}.livenessProbe", DELETE)))
    assert (diagnostic.policyName, diagnostic.enforcementLevel) == ("liveness-probe", ADVISORY)


def test_numbers_that_arrive_as_floats_are_compared_as_numbers(server):
    [diagnostic] = analyze(server, changed(("Deployment/api", f"{API}.securityContext.runAsUser", 0)))
    assert diagnostic.policyName == "run-as-non-root"


def test_numbers_are_reported_without_a_fraction(server):
    manifests = changed(("PodDisruptionBudget/api", "spec.minAvailable", 2))
    [diagnostic] = analyze_stack(server, manifests)
    assert "minAvailable: 2 forbids every eviction when the selected workloads run 2 pods" in diagnostic.message


def test_a_stack_violation_names_its_resource(server):
    manifests = changed(("PodDisruptionBudget/db", "spec.maxUnavailable", 0))
    [diagnostic] = analyze_stack(server, manifests)
    assert (diagnostic.policyName, diagnostic.enforcementLevel) == ("pdb-allows-drain", MANDATORY)
    assert diagnostic.urn == urn_of(one(manifests, "PodDisruptionBudget", "db"))


def test_one_unknown_value_stops_one_rule_on_one_resource(server):
    manifests = changed(("Deployment/api", f"{API}.image", UNKNOWN_STRING_VALUE))
    change(manifests, "Deployment/api", f"{API}.securityContext.privileged", True)

    found = analyze(server, manifests)

    assert [(d.policyName, d.enforcementLevel) for d in found] == [
        ("no-privileged-container", MANDATORY),
        ("not-evaluated", MANDATORY),
    ]
    assert "image-tag: not evaluated: image is unknown" in found[1].message


def test_an_advisory_rule_that_cannot_be_evaluated_is_mandatory(server):
    [diagnostic] = analyze(server, changed(("Job/once", f"{API}.resources.limits.cpu", UNKNOWN_STRING_VALUE)))
    assert (diagnostic.policyName, diagnostic.enforcementLevel) == ("not-evaluated", MANDATORY)
    assert "cpu-limit" in diagnostic.message


def test_an_unknown_value_in_the_stack_is_reported_on_its_resource(server):
    manifests = changed(("Service/db", "spec.selector.app", UNKNOWN_STRING_VALUE))
    [diagnostic] = analyze_stack(server, manifests)
    assert (diagnostic.policyName, diagnostic.enforcementLevel) == ("stack-not-evaluated", MANDATORY)
    assert diagnostic.urn == urn_of(one(manifests, "Service", "db"))


def test_stack_rules_judge_inputs_not_the_defaults_in_outputs(server):
    analyze(server, baseline())
    outputs = changed(("Deployment/api", "spec.replicas", 1))
    assert analyze_stack(server, outputs) == []


def test_stack_rules_fall_back_to_outputs(server):
    outputs = changed(("Deployment/api", "spec.replicas", 1))
    assert [d.policyName for d in analyze_stack(server, outputs)] == ["single-replicas-owner"]


def test_resources_of_other_providers_are_passed_over(server):
    broken = one(changed(("Deployment/api", f"{API}.image", "api")), "Deployment", "api")
    request = request_for(broken)
    request.type = "other:index:Deployment"
    assert list(server.Analyze(request, None).diagnostics) == []

    resource = request_for(broken, analyzer_pb2.AnalyzerResource)
    assert server.AnalyzeStack(analyzer_pb2.AnalyzeStackRequest(resources=[resource]), None).diagnostics
    resource.type = "other:index:Deployment"
    assert not server.AnalyzeStack(analyzer_pb2.AnalyzeStackRequest(resources=[resource]), None).diagnostics


def test_proxies_become_plain_data(program):
    unknown = program["UNKNOWN"]
    proxied = unknown_checking_proxy(
        {"a": [1.0, 1.5, {"b": True}], "c": UNKNOWN_STRING_VALUE, "d": [UNKNOWN_STRING_VALUE]}
    )
    plain = program["plain"](proxied)
    assert plain["a"] == [1, 1.5, {"b": True}]
    assert type(plain) is dict
    assert type(plain["a"]) is list
    assert type(plain["a"][0]) is int
    assert plain["c"] is unknown
    assert plain["d"][0] is unknown


def test_the_pack_starts_as_the_engine_starts_it(folder, tmp_path):
    command = [sys.executable, "-u", "-m", "pulumi.policy", "127.0.0.1:1", str(folder)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = int(process.stdout.readline())
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                stub = analyzer_pb2_grpc.AnalyzerStub(channel)
                info = stub.GetAnalyzerInfo(empty_pb2.Empty(), timeout=20)
                manifest = one(changed(("Deployment/api", f"{API}.image", "api:latest")), "Deployment", "api")
                response = stub.Analyze(request_for(manifest), timeout=20)
        finally:
            process.kill()
    assert info.name == "agentstack"
    assert [d.policyName for d in response.diagnostics] == ["image-tag"]
