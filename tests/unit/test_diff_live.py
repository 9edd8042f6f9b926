"""What only the live state knows: read from recorded answers of the engine, and asked of engines that are made up."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import pathlib
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentstack.compare.model import ABSENT, Change, FieldChange
from agentstack.compare.snapshot import Object, Snapshot
from agentstack.engine import events
from agentstack.engine import plan as engine
from agentstack.engine.events import Answer, Refreshed, ResourceState
from agentstack.impact import destructive
from agentstack.impact.model import DestructiveChange
from agentstack.live import drift
from agentstack.live import reconcile as live
from agentstack.live.drift import Drift, drifts
from agentstack.live.reconcile import Live, reconcile
from agentstack.output.document import Chapter, Document, Lines, Table
from agentstack.output.markdown import comment
from agentstack.preview.published import Summary
from agentstack.rendering.environment import Environment
from settings.errors import SettingsError
from tests.commandline import ROOT, agentstack

from .test_diff_command import diff, project

__all__ = ["project"]  # a fixture
RECORDED = ROOT / "tests" / "data" / "engine"
TODAY = date(2026, 11, 21)
ENVIRONMENT = Environment(ROOT, "dev", ROOT / "Pulumi.dev.yaml", ROOT / "agents")


def recorded(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (RECORDED / f"{name}.jsonl").read_text().splitlines()]


def answer(name: str) -> Answer:
    return events.read(recorded(name))


@pytest.fixture(scope="module")
def found() -> dict[str, Drift]:
    return {each.title: each for each in drifts(answer("drift").refreshed)}


# --- drift ---


def test_each_change_by_kubectl_is_drift_and_nothing_else(found: dict[str, Drift]) -> None:
    fields = {(title, field.change.path, field.restored) for title, each in found.items() for field in each.fields}
    container = "spec.template.spec.containers"
    assert fields == {
        ("ConfigMap/data/kafka-config", "data.extra", False),
        ("Deployment/agents/executor", 'metadata.labels["app.kubernetes.io/version"]', True),
        ("Deployment/agents/ingestion", f"{container}[ingestion].env[REDIS_URL]", True),
        ("Deployment/agents/ingestion", "metadata.labels.team", False),
        ("Deployment/agents/learner", "spec.replicas", True),
        ("Deployment/agents/orchestrator", f"{container}[orchestrator].env[LOG_LEVEL]", False),
        ("Deployment/agents/state-manager", f"{container}[state-manager].image", True),
        ("Deployment/agents/state-manager", f"{container}[state-manager].env[PORT]", False),
        ("HorizontalPodAutoscaler/agents/ingestion", "spec.maxReplicas", True),
        ("Secret/agents/executor.kafka", "data.KAFKA_PASSWORD", True),
        ("Secret/agents/executor.kafka", "data.extra", False),
        ("Service/observability/prometheus", "spec.sessionAffinity", False),
        ("Service/observability/prometheus", "spec.sessionAffinityConfig.clientIP.timeoutSeconds", False),
    }
    assert found["Service/agents/state-manager"].happened == "deleted"
    assert found["Service/observability/grafana"].happened == "recreated"
    assert found["Service/observability/grafana"].manager == drift.Manager("kubectl-create", "2026-11-21T22:47:08Z")


def test_what_the_cluster_keeps_itself_is_no_drift(found: dict[str, Drift]) -> None:
    # `executor` was restarted by kubectl and its autoscaler raised its replicas: both are in the recording.
    executor = next(
        resource
        for resource in answer("drift").refreshed
        if resource.urn.endswith("apps/v1:Deployment::executor") and resource.after is not None
    )
    assert executor.after is not None
    assert executor.before.outputs["spec"]["replicas"] != executor.after.outputs["spec"]["replicas"]
    assert "restartedAt" in json.dumps(executor.after.outputs)
    paths = [field.change.path for field in found["Deployment/agents/executor"].fields]
    assert paths == ['metadata.labels["app.kubernetes.io/version"]']


def test_who_set_it_is_named_where_the_api_server_knows(found: dict[str, Drift]) -> None:
    image, port = found["Deployment/agents/state-manager"].fields
    assert (image.change.before, image.change.after) == (
        "ghcr.io/agentstack/state-manager:1.0.0",
        "ghcr.io/agentstack/state-manager:9.9.9",
    )
    assert image.manager == port.manager == drift.Manager("kubectl-set", "2026-11-21T22:47:06Z")
    assert found["Deployment/agents/executor"].fields[0].manager is None, "what is gone was set by nobody"


def test_secrets_are_named_and_never_shown(found: dict[str, Drift]) -> None:
    password, extra = found["Secret/agents/executor.kafka"].fields
    assert (password.change.before, password.change.after) == ("(secret)", "(secret)")
    assert (extra.change.before, extra.change.after) == (ABSENT, "(secret)")


def changed(manager: str, **entry: Any) -> Refreshed:
    """A ConfigMap in which somebody set one key beside what was declared."""
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": "n"},
        "data": {"a": "1"},
    }
    after = copy.deepcopy(manifest)
    after["data"]["b"] = "2"
    after["metadata"]["managedFields"] = [
        {"manager": "pulumi-kubernetes", "operation": "Update", "fieldsV1": {"f:data": {".": {}, "f:a": {}}}},
        {"manager": manager, "operation": "Update", "fieldsV1": {"f:data": {"f:b": {}}}, **entry},
    ]
    urn = "urn:pulumi:dev::agentstack::kubernetes:core/v1:ConfigMap::c"
    return Refreshed(
        urn, "kubernetes:core/v1:ConfigMap", ResourceState(manifest, manifest), ResourceState(manifest, after), ()
    )


@pytest.mark.parametrize("manager", ["kubectl-edit", "k9s", "Mozilla", "argocd-controller", "helm", "node-fetch"])
def test_what_people_and_their_tools_set_is_drift(manager: str) -> None:
    (only,) = drifts([changed(manager)])
    assert [(field.change.path, field.restored) for field in only.fields] == [("data.b", False)]


@pytest.mark.parametrize(
    "manager", ["kube-controller-manager", "kubelet", "keda", "cert-manager-cainjector", "aws-load-balancer-controller"]
)
def test_what_controllers_add_is_none(manager: str) -> None:
    assert drifts([changed(manager)]) == []


def test_what_is_set_to_what_was_declared_is_none() -> None:
    assert drifts([changed("kubectl", fieldsV1={"f:data": {"f:a": {}}})]) == []


def test_an_item_of_a_list_is_found_by_its_key() -> None:
    resource = changed("kubectl")
    assert resource.after is not None
    for manifest, value in ((resource.before.inputs, "1"), (resource.after.outputs, "2")):
        manifest["data"] = {"env": [{"name": "X", "value": value}]}  # type: ignore[index]
    key = 'k:{"name":"X"}'
    entries = resource.after.outputs["metadata"]["managedFields"]
    entries[1]["fieldsV1"] = {"f:data": {"f:env": {key: {"f:name": {}, "f:value": {}}}}}
    (only,) = drifts([dataclasses.replace(resource, differs=("data.env[0].value",))])
    assert [(field.change.path, field.manager) for field in only.fields] == [
        ("data.env[X].value", drift.Manager("kubectl"))
    ]


def test_what_is_set_through_a_subresource_is_none() -> None:
    assert drifts([changed("kubectl", subresource="scale")]) == []


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["f:data", "f:a", ".", "k:{}", 'k:{"name":"x"}', "v:1", "k:x", "f:"]), inner)
    ),
    max_leaves=8,
)


@given(plain)
def test_no_form_of_managed_fields_raises(owned: Any) -> None:
    drifts([changed("kubectl", fieldsV1=owned)])


def shown(section: Any) -> str:
    chapter = Chapter("dev", "verdict", "warn", (section,), "agentstack drift dev")
    document = Document(
        "title", Table(("environment", "verdict"), (("dev", "verdict"),)), Lines(()), (chapter,), "foot"
    )
    return comment(document)


def test_a_managers_name_is_no_markup() -> None:
    body = shown(drift.section(drifts([changed("<img src=x>@team ``` ![a](b)")])))
    before, fence, _ = body.partition("````")  # longer than any in the text
    assert fence
    assert "<img" not in before
    assert "@team" not in before


def test_the_issue_is_short_enough_however_much_drifted() -> None:
    many = [Drift(f"urn{number}", f"Deployment/n/{number}", "deleted") for number in range(5000)]
    body = shown(drift.section(many))
    assert len(body.encode()) < 60_000
    assert "not shown" in body


# --- reconciled with a diff ---

SELECTOR = (FieldChange("spec.selector", "a", "b"),)


def stack(approvals: Any = None) -> Snapshot:
    """The stack that was asked of, as a revision."""
    objects = {}
    for resource in answer("replaced").refreshed:
        if resource.type.startswith("kubernetes:") and not resource.type.endswith("Patch"):
            known = Object(resource.before.inputs, urn=resource.urn)
            objects[known.key] = known
    return Snapshot("dev", "head", objects, Summary.model_validate({"approvals": approvals or {}}))


def changes_of(snapshot: Snapshot, *titles: str) -> list[Change]:
    return [Change("changed", known, known, SELECTOR) for known in snapshot.objects.values() if known.title in titles]


def reconciled(
    *titles: str, found: tuple[DestructiveChange, ...] = (), approved: tuple[tuple[str, str], ...] = ()
) -> Live:
    granted = [{"resource": resource, "until": until, "reason": "r"} for resource, until in approved]
    snapshot = stack(approvals={"approvedReplacements": granted})
    return reconcile(answer("replaced"), snapshot, changes_of(snapshot, *titles), found, today=TODAY)


LEARNER = "Deployment/agents/learner"
SERVICE = "Service/data/redis-headless"
STATEFUL = "StatefulSet/data/redis"


def test_what_the_provider_replaces_and_the_diff_does_not_say_needs_approval() -> None:
    found = reconciled(LEARNER)
    by_title = {change.resource: change for change in found.destroyed}
    assert set(by_title) == {SERVICE, STATEFUL}
    assert [change.path for change in by_title[SERVICE].what] == ["spec.clusterIP"]
    assert by_title[STATEFUL].severity == "data lost"
    assert "whenDeleted" in by_title[STATEFUL].consequence
    assert found.needs_approval
    assert found.confirmed == 1
    # Not what the drift explains, nor the claims' patches, which leave the claims.
    assert found.pending == ()
    assert found.deployed == ()


def test_what_is_approved_or_said_already_needs_none() -> None:
    assert not reconciled(approved=((SERVICE, "2026-11-21"), (STATEFUL, "2027-01-01"))).needs_approval
    assert reconciled(approved=((SERVICE, "2026-11-20"), (STATEFUL, "2027-01-01"))).needs_approval, "expired"
    said = tuple(
        DestructiveChange(title, "data lost", (), "said", needs_approval=True) for title in (SERVICE, STATEFUL)
    )
    assert reconciled(found=said).destroyed == ()


def test_a_step_beside_the_diff_was_not_deployed_and_a_change_without_one_was() -> None:
    assert [step.urn.rpartition("::")[2] for step in reconciled().pending] == ["learner"]
    snapshot = stack()
    others = Object({"kind": "ConfigMap", "metadata": {"name": "other", "namespace": "n"}}, urn="urn:other")
    changes = [*changes_of(snapshot, LEARNER), Change("added", None, others)]
    found = reconcile(answer("replaced"), snapshot, changes, (), today=TODAY)
    assert found.deployed == ("ConfigMap/n/other",)


def test_a_refusal_is_told_and_nothing_is_taken_for_deployed() -> None:
    snapshot = stack()
    found = reconcile(answer("refused"), snapshot, changes_of(snapshot, STATEFUL), (), today=TODAY)
    (refusal,) = found.refusals
    assert refusal.title == "PersistentVolumeClaim/observability/data-prometheus-0"
    assert "spec is immutable" in refusal.message
    assert "\n" not in refusal.message
    assert found.deployed == ()
    assert live.section(found).mark == "bad"


def test_all_of_it_has_a_json_form_and_a_section() -> None:
    found = reconciled()
    content = json.loads(live.published(found).text())
    assert content["error"] is None
    assert {change["resource"] for change in content["destroyed"]} == {SERVICE, STATEFUL}
    assert content["pending"][0]["operation"] == "update"
    body = shown(live.section(found))
    assert body.index(STATEFUL) < body.index("recreated, 13 fields") < body.index("1 more step")
    assert destructive.section(found.destroyed).mark == "bad"


# --- the engine ---


@pytest.fixture
def fake(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a `pulumi` on PATH that runs a script."""

    def make(script: str) -> None:
        program = tmp_path / "bin" / "pulumi"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    return make


def prints(name: str, code: int) -> str:
    return f"cat {shlex.quote(str(RECORDED / name))}.jsonl; exit {code}"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "echo \"error: no stack named 'dev' found\" >&2; exit 6",
            "dev: stack: the backend has none of this name: run",
        ),
        ("echo 'error: PULUMI_ACCESS_TOKEN must be set for login' >&2; exit 3", "dev: backend: not logged in: run"),
        ("echo 'error: passphrase must be set with X' >&2; exit 1", "dev: secrets: no passphrase: set PULUMI_CONFIG_"),
        ("echo 'error: incorrect passphrase' >&2; exit 255", "dev: secrets: the passphrase is wrong: set"),
        ("echo 'error: unable to open state directory' >&2; exit 1", "dev: backend: cannot be read: log in"),
        (prints("unreachable", 1), "dev: cluster: does not answer (unable to load schema information"),
        ("echo boom >&2; exit 1", "dev: pulumi preview: boom"),
        ("exit 1", "dev: pulumi preview: failed without a reason"),
        ("echo '{}'", "pulumi preview: printed no events: update the engine"),
    ],
)
def test_what_the_engine_lacks_is_one_line_with_its_mend(fake: Any, script: str, message: str) -> None:
    fake(script)
    with pytest.raises(SettingsError) as error:
        engine.preview(ENVIRONMENT)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_no_engine_is_one_line(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsError, match=r"^pulumi: is not on PATH: install the engine"):
        engine.preview(ENVIRONMENT)


def test_a_refusal_is_an_answer(fake: Any) -> None:
    fake(prints("refused", 1))
    assert len(engine.preview(ENVIRONMENT).refusals) == 1


def test_an_engine_that_does_not_answer_is_ended_with_its_children(
    fake: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_GRACE", 0.5)
    fake(f"trap '' INT; sleep 600 & echo $! $$ > {tmp_path}/pids; wait; sleep 600")
    with pytest.raises(SettingsError, match="pulumi refresh: no answer within 1 s"):
        engine.refresh(ENVIRONMENT, limit=1)
    assert not any(is_running(int(pid)) for pid in (tmp_path / "pids").read_text().split())


def is_running(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return False
        except OSError:
            return False
        time.sleep(0.05)
    return True


def run(*arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "agentstack", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def test_the_command_tells_drift_by_its_exit_code(fake: Any) -> None:
    fake(prints("drift", 0))
    code, out, _ = run("drift", "dev", "--markdown")
    assert code == 7
    assert out.splitlines()[0] == "<!-- agentstack drift dev -->"
    assert "set by kubectl-set on 2026-11-21 at 22:47 UTC: put back" in out
    code, out, _ = agentstack("drift", "dev", "--json")
    assert code == 7
    assert json.loads(out)["drift"][0]["happened"] == "deleted"
    fake("""echo '{"summaryEvent": {}}'""")
    code, out, _ = agentstack("drift", "dev")
    assert (code, "Everything is as it was deployed." in out) == (0, True)
    fake(prints("unreachable", 1))
    code, out, error = agentstack("drift", "dev")
    assert (code, out) == (2, "")
    assert error.startswith("dev: cluster: does not answer")
    assert agentstack("drift", "nope").code == 2


def test_without_the_engine_the_rest_of_the_diff_is_as_ever(project: pathlib.Path, fake: Any) -> None:
    fake("echo \"error: no stack named 'dev' found\" >&2; exit 6")
    settings = project / "Pulumi.dev.yaml"
    settings.write_text(settings.read_text().replace("retention: 2d", "retention: 3d"))
    code, out, _ = diff(project, "dev", "--base", "main", "--live", "--json", "--out", str(project / "out"))
    environment = json.loads(out)["environments"][0]
    assert code == 2
    assert environment["live"]["error"].startswith("dev: stack: the backend has none of this name")
    assert environment["changes"]
    said = (project / "out" / "comment.md").read_text()
    assert "What only the live state knows" in said
    assert "retention" in said
