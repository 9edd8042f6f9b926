"""What `agentstack.impact` says of a change is what the engine does. The tests build on each other."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import date

import pytest

from agentstack.compare.snapshot import Snapshot
from agentstack.impact.destructive import destructive_changes
from agentstack.impact.model import DestructiveChange
from agentstack.rendering.environment import Environment

from .conftest import Project

REPLACED = {"create-replacement", "replace", "delete-replaced"}


def kubectl(*arguments: str, code: int | None = 0) -> str:
    done = subprocess.run(["kubectl", *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert code in (None, done.returncode), f"kubectl {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def stack(kubeconfig: None, project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The program, as it is without an edit."""
    made = project.beside(tmp_path_factory.mktemp("losses"), "destructive_program.py", stack="losses")
    made.pulumi("up", "--yes", "--skip-preview")
    yield made
    made.pulumi("config", "rm", "edit", code=None)
    made.pulumi("state", "unprotect", "--all", "--yes")
    made.pulumi("destroy", "--yes", "--skip-preview", code=None)
    kubectl("delete", "namespace", "losses", "--ignore-not-found")


def snapshot(stack: Project, edit: str) -> Snapshot:
    """The revision with this edit, rendered without the engine."""
    stack.pulumi("config", "set", "edit", edit)
    environment = Environment.find(stack.folder, "losses")
    (stack.folder / "agents").mkdir(exist_ok=True)
    return Snapshot.rendered(environment, revision=edit)


def found(stack: Project, edit: str) -> dict[str, DestructiveChange]:
    """What is said of the edit, by the name of the object; the edit is left in place for the engine."""
    before, after = snapshot(stack, "none"), snapshot(stack, edit)
    changes = destructive_changes(before, after, today=date(2026, 1, 1))
    return {change.resource.rpartition("/")[2]: change for change in changes}


def steps(said: str) -> dict[str, set[str]]:
    """The engine's operations in a preview, by the name of the resource."""
    operations: dict[str, set[str]] = {}
    for step in json.loads(said)["steps"]:
        operations.setdefault(step["urn"].rpartition("::")[2], set()).add(step["op"])
    return operations


def test_what_is_named_as_replaced_is_what_the_engine_replaces(stack: Project) -> None:
    said = found(stack, "fields")
    operations = steps(stack.pulumi("preview", "--json"))
    replaced = {name for name, done in operations.items() if done & REPLACED}
    updated = {name for name, done in operations.items() if done == {"update"}}
    assert replaced == set(said)
    assert updated == {"scaled", "selected", "mutable"}
    assert len(replaced) == 14
    assert {name for name, change in said.items() if change.needs_approval} == {
        *("management", "history", "service", "selector", "claims", "class", "modes")
    }


def test_what_is_protected_is_not_replaced(stack: Project) -> None:
    change = found(stack, "replace protected")["kept"]
    assert change.needs_approval
    assert "the engine refuses to replace what is protected" in change.consequence
    assert "marked for protection" in stack.pulumi("preview", code=None)
    uid = kubectl("get", "statefulset", "kept", "-n", "losses", "-o", "jsonpath={.metadata.uid}")
    assert "marked for protection" in stack.pulumi("up", "--yes", "--skip-preview", code=None)
    assert kubectl("get", "statefulset", "kept", "-n", "losses", "-o", "jsonpath={.metadata.uid}") == uid


def test_what_is_protected_is_not_removed(stack: Project) -> None:
    change = found(stack, "remove protected")["guarded"]
    assert change.needs_approval
    assert "the engine refuses to delete what is protected" in change.consequence
    assert "cannot be deleted" in stack.pulumi("preview", code=None)


def test_an_object_of_another_resource_is_not_taken_over(stack: Project) -> None:
    change = found(stack, "move")["moved"]
    assert change.severity == "refused"
    assert "already exists" in change.consequence
    assert "already exists" in stack.pulumi("up", "--yes", "--skip-preview", code=None)
    assert kubectl("get", "configmap", "moved", "-n", "losses", "-o", "jsonpath={.data.word}") == "kept"


def test_an_alias_keeps_the_object(stack: Project) -> None:
    assert "moved" not in found(stack, "move with alias")
    assert "moved" not in found(stack, "none")
    stack.pulumi("config", "set", "edit", "move with alias")
    assert "moved-2" not in steps(stack.pulumi("preview", "--json"))


def test_unprotecting_is_named(stack: Project) -> None:
    change = found(stack, "unprotect")["kept"]
    assert (change.severity, change.needs_approval) == ("protection lost", True)
    assert [field.path for field in change.what] == ["protect"]


def test_an_object_can_be_taken_over_and_then_deleted(stack: Project) -> None:
    change = found(stack, "move")["moved"]
    assert "PULUMI_K8S_UPSERT_EXISTING_OBJECTS" in change.consequence
    stack.environment["PULUMI_K8S_UPSERT_EXISTING_OBJECTS"] = "true"
    stack.pulumi("up", "--yes", "--skip-preview")
    del stack.environment["PULUMI_K8S_UPSERT_EXISTING_OBJECTS"]
    assert kubectl("get", "configmap", "moved", "-n", "losses", "--ignore-not-found") == ""


def test_what_is_retained_stands_in_its_own_way(stack: Project) -> None:
    change = found(stack, "replace retained")["retained"]
    assert change.severity == "downtime"
    assert "already exists" in change.consequence
    assert "already exists" in stack.pulumi("up", "--yes", "--skip-preview", code=None)
    assert kubectl("get", "statefulset", "retained", "-n", "losses", "-o", "jsonpath={.spec.serviceName}") == "pods"
