"""The pack as the engine meets it: its server with real requests and unknown values, beside the SDK's own."""

import json
import shutil
import subprocess
import sys

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from policy_baseline import DELETE, baseline, change, changed
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc
from pulumi_policy.deserialize import SPECIAL_SECRET_SIG, SPECIAL_SIG_KEY
from pulumi_policy.policy import _PolicyAnalyzerServicer
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE
from sdk_pack import Reference

from manifests.fields import UNKNOWN
from policies.analyzer import Analyzer
from policies.model import manifest_rule, stack_rule
from policies.properties import plain
from policies.rules import RULES, Finding
from policies.waiver_file import read_waivers

API = "spec.template.spec.containers[0]"
MANDATORY, ADVISORY = analyzer_pb2.MANDATORY, analyzer_pb2.ADVISORY
DISABLED, REMEDIATE = analyzer_pb2.DISABLED, analyzer_pb2.REMEDIATE


@pytest.fixture
def folder(request, tmp_path):
    """The pack without the waivers of this repository; `waive` writes others."""
    left_out = shutil.ignore_patterns("__pycache__", "waivers.yaml")
    return shutil.copytree(request.config.rootpath / "policies", tmp_path / "policies", ignore=left_out)


def waive(folder, **fields):
    written = {"resource": "Deployment/agents/api", "reason": "moved", "owner": "me", "until": "9999-12-31", **fields}
    (folder / "waivers.yaml").write_text(json.dumps([written]))


@pytest.fixture
def server():
    return Analyzer((), "waivers.yaml")


def serve(folder):
    """The server as `policies/__main__.py` makes it."""
    file = folder / "waivers.yaml"
    return Analyzer(read_waivers(file, [rule.id for rule in RULES]), file.name)


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
        "waiver-expired": MANDATORY,
        "waiver-unused": MANDATORY,
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
    found = analyze(server, changed(("Job/once", f"{API}.resources.limits.cpu", UNKNOWN_STRING_VALUE)))
    assert {(d.policyName, d.enforcementLevel) for d in found} == {("not-evaluated", MANDATORY)}
    assert "cpu-limit" in found[0].message


def test_an_unknown_value_in_the_stack_is_reported_on_its_resource(server):
    manifests = changed(("Service/db", "spec.selector.app", UNKNOWN_STRING_VALUE))
    found = analyze_stack(server, manifests)
    assert {(d.policyName, d.enforcementLevel) for d in found} == {("stack-not-evaluated", MANDATORY)}
    assert {d.urn for d in found} == {urn_of(one(manifests, "Service", "db"))}


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


# Configuration


def configure(server, **configuration):
    """Hand over what the engine makes of a configuration file: every policy with its level and all of its values."""
    request = analyzer_pb2.ConfigureAnalyzerRequest()
    for policy in server.GetAnalyzerInfo(None, None).policies:
        given = configuration.get(policy.name.replace("-", "_"), {})
        request.policyConfig[policy.name].enforcementLevel = given.get("level", policy.enforcementLevel)
        request.policyConfig[policy.name].properties.update(
            {name: schema["default"] for name, schema in policy.configSchema.properties.items() if "default" in schema}
            | given.get("values", {})
        )
    server.Configure(request, None)


def test_a_configured_level_is_reported(server):
    configure(server, image_tag={"level": ADVISORY}, liveness_probe={"level": DISABLED})
    manifests = changed(("Deployment/api", f"{API}.image", "api"), ("Deployment/api", f"{API}.livenessProbe", DELETE))
    assert [(d.policyName, d.enforcementLevel) for d in analyze(server, manifests)] == [("image-tag", ADVISORY)]


def test_a_disabled_rule_is_not_evaluated(server):
    manifests = changed(
        ("Deployment/api", f"{API}.image", UNKNOWN_STRING_VALUE), ("Service/db", "spec.selector", UNKNOWN_STRING_VALUE)
    )
    assert [d.policyName for d in analyze(server, manifests)] == ["not-evaluated"]
    assert {d.policyName for d in analyze_stack(server, manifests)} == {"stack-not-evaluated"}
    disabled = {"level": DISABLED}
    configure(server, image_tag=disabled, service_selects_pods=disabled)
    assert analyze(server, manifests) == []
    assert [d.message for d in analyze_stack(server, manifests) if "service-selects" in d.message] == []


def test_values_reach_a_rule_and_the_engine_gets_its_schema():
    schema = {"most": {"type": "integer", "minimum": 1, "default": 1, "description": "Objects."}}

    @manifest_rule("few", "error", "Few.", remedy="", config_schema=schema)
    def few(manifest, config):
        yield Finding(f"{config['most']}")

    @stack_rule(
        "few-in-all", "error", "Few.", subjects=lambda stack: stack.manifests[:1], remedy="", config_schema=schema
    )
    def few_in_all(manifest, stack, config):
        yield Finding(f"{len(stack.manifests)} of {config['most']}")

    server = Analyzer((), "waivers.yaml", [few, few_in_all])
    described = server.GetAnalyzerInfo(None, None).policies[0].configSchema.properties["most"]
    assert dict(described) == {"type": "integer", "minimum": 1.0, "default": 1.0, "description": "Objects."}
    configure(server, few={"values": {"most": 3}})
    assert {d.message for d in analyze(server, baseline())} == {"Few.\n3"}
    assert analyze_stack(server, baseline())[0].message == f"Few.\n{len(baseline())} of 1"


# Waivers


def test_a_waived_finding_is_not_reported(tmp_path):
    manifests = changed(
        ("Deployment/api", f"{API}.image", "api"),
        ("CronJob/nightly", "spec.jobTemplate.spec.template.spec.containers", []),
    )
    waive(tmp_path, rule="image-tag", environments=["dev"])
    server = serve(tmp_path)
    assert analyze(server, manifests) == []
    assert analyze_stack(server, manifests) == []


def test_a_waiver_for_another_stack_waives_nothing(tmp_path):
    waive(tmp_path, rule="image-tag", environments=["prod"])
    server = serve(tmp_path)
    manifests = changed(("Deployment/api", f"{API}.image", "api"))
    assert [d.policyName for d in analyze(server, manifests)] == ["image-tag"]
    assert analyze_stack(server, manifests) == []


def test_a_stack_rule_can_be_waived(tmp_path):
    waive(tmp_path, rule="pdb-allows-drain", resource="PodDisruptionBudget/agents/d*")
    server = serve(tmp_path)
    manifests = changed(("PodDisruptionBudget/db", "spec.maxUnavailable", 0))
    assert analyze(server, manifests) == []
    assert analyze_stack(server, manifests) == []


def test_an_expired_waiver_is_a_finding_beside_the_one_that_it_waived(tmp_path):
    waive(tmp_path, rule="image-tag", until="2020-01-01")
    server = serve(tmp_path)
    manifests = changed(("Deployment/api", f"{API}.image", "api"))
    assert [d.policyName for d in analyze(server, manifests)] == ["image-tag"]
    [diagnostic] = analyze_stack(server, manifests)
    assert (diagnostic.policyName, diagnostic.enforcementLevel) == ("waiver-expired", MANDATORY)
    assert "waivers.yaml:1: Deployment/agents/api: the waiver of image-tag expired on 2020-01-01" in diagnostic.message


def test_an_unused_waiver_is_a_finding_unless_its_object_was_not_looked_at(tmp_path):
    waive(tmp_path, rule="image-tag")
    server = serve(tmp_path)
    assert analyze_stack(server, baseline()) == []  # as with --target

    assert analyze(server, baseline()) == []
    [diagnostic] = analyze_stack(server, baseline())
    assert (diagnostic.policyName, diagnostic.enforcementLevel) == ("waiver-unused", MANDATORY)
    assert "the waiver of image-tag waives nothing in dev; remove it" in diagnostic.message


def test_what_is_unknown_cannot_be_waived(tmp_path):
    waive(tmp_path, rule="image-tag")
    server = serve(tmp_path)
    manifests = changed(("Deployment/api", f"{API}.image", UNKNOWN_STRING_VALUE))
    assert [d.policyName for d in analyze(server, manifests)] == ["not-evaluated"]
    assert analyze_stack(server, manifests) == []


def test_a_bad_waiver_file_stops_the_pack_with_one_line(folder, tmp_path):
    waive(folder, rule="image-tags")
    command = [sys.executable, "-u", "-m", "pulumi.policy", "127.0.0.1:1", str(folder)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    mistake = "rule: unknown rule `image-tags`, did you mean `image-tag`?"
    assert done.stderr.splitlines() == [f"{folder}/waivers.yaml:1: {mistake}"]


def test_properties_become_plain_data():
    properties = struct_pb2.Struct()
    secret = {SPECIAL_SIG_KEY: SPECIAL_SECRET_SIG, "value": {"a": 2.0}}
    properties.update(
        {"a": [1.0, 1.5, {"b": True}, None], "c": UNKNOWN_STRING_VALUE, "d": [UNKNOWN_STRING_VALUE, secret]}
    )
    read = plain(properties)
    assert read["a"] == [1, 1.5, {"b": True}, None]
    assert (type(read), type(read["a"]), type(read["a"][0])) == (dict, list, int)
    assert read["c"] is UNKNOWN
    assert read["d"][0] is UNKNOWN
    assert read["d"][1] == {"a": 2}


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


# The SDK, whose server reads each object once a policy


def test_the_pack_answers_what_the_server_of_the_sdk_answers():
    """A new method of the protocol must be looked at, and answered or left alone on purpose."""
    rpcs = {name for name in vars(analyzer_pb2_grpc.AnalyzerServicer) if not name.startswith("_")}
    assert rpcs == {
        *("Analyze", "AnalyzeStack", "Remediate", "GetAnalyzerInfo", "GetPluginInfo", "Configure", "ConfigureStack"),
        *("Handshake", "Cancel"),
    }
    answered = [{name for name in vars(server) if name in rpcs} for server in (Analyzer, _PolicyAnalyzerServicer)]
    assert answered[0] == answered[1] == rpcs - {"Handshake", "Cancel"}


def test_the_pack_describes_itself_as_the_sdk_does(server):
    reference = Reference().served()
    assert server.GetAnalyzerInfo(None, None) == reference.GetAnalyzerInfo(None, None)
    assert server.GetPluginInfo(None, None) == reference.GetPluginInfo(None, None)
    request = analyzer_pb2.AnalyzerStackConfigureRequest()
    assert server.ConfigureStack(request, None) == reference.ConfigureStack(request, None)


LEVELS_AND_VALUES = {
    "image_tag": {"level": ADVISORY},
    "liveness_probe": {"level": DISABLED},
    "cpu_limit": {"level": REMEDIATE},
    "pdb_allows_drain": {"level": REMEDIATE},
    "standard_labels": {"values": {"labels": ["team"]}},
    "secret_exists": {"values": {"existing": ["agents/redis"]}},
    "monthly_budget": {"values": {"monthly": 1.0}},
}


@pytest.mark.parametrize("configuration", [{}, LEVELS_AND_VALUES, {"not_evaluated": {"level": DISABLED}}])
def test_the_pack_reports_what_the_sdk_reports_in_its_order(server, configuration):
    reference = Reference().served()
    manifests = changed(
        ("Deployment/api", f"{API}.image", "api"),
        ("Deployment/api", f"{API}.livenessProbe", DELETE),
        ("Deployment/api", f"{API}.securityContext.privileged", True),
        ("Deployment/api", f"{API}.resources.limits.cpu", DELETE),
        ("Deployment/api", f"{API}.env[0].value", UNKNOWN_STRING_VALUE),
        ("Job/once", f"{API}.resources.limits.cpu", UNKNOWN_STRING_VALUE),
        ("Service/db", "spec.selector.app", UNKNOWN_STRING_VALUE),
        ("PodDisruptionBudget/db", "spec.maxUnavailable", 0),
        ("Secret/redis", "", DELETE),
        ("ConfigMap/redis", "data", {SPECIAL_SIG_KEY: SPECIAL_SECRET_SIG, "value": {"API_TOKEN": "open"}}),
        ("NetworkPolicy/default-deny", "", DELETE),
    )
    for each in (server, reference):
        if configuration:
            configure(each, **configuration)
    found = []
    for manifest in manifests:
        request = request_for(manifest)
        answer = server.Analyze(request, None)
        assert answer == reference.Analyze(request, None)
        assert server.Remediate(request, None) == reference.Remediate(request, None)
        found += answer.diagnostics
    resources = [request_for(m, analyzer_pb2.AnalyzerResource) for m in manifests]
    request = analyzer_pb2.AnalyzeStackRequest(resources=resources)
    answer = server.AnalyzeStack(request, None)
    assert answer == reference.AnalyzeStack(request, None)
    assert len(found) + len(answer.diagnostics) > 10
