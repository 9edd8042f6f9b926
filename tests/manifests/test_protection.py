"""What the engine refuses to delete: namespaces, stateful sets and their passwords, not what an update replaces."""

from __future__ import annotations

import inspect
from pathlib import Path

import pulumi
import pytest

import components
from agentstack.rendering.environment import Environment
from agentstack.rendering.render import render

from .conftest import ROOT

DATA = {
    "kubernetes:core/v1:Namespace",
    "kubernetes:core/v1:PersistentVolumeClaim",
    "kubernetes:apps/v1:StatefulSet",
    "random:index/randomPassword:RandomPassword",
    "random:index/randomId:RandomId",
}


@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_only_what_holds_data_is_protected(environment: str) -> None:
    registrations = render(Environment.find(ROOT, environment)).registrations
    protected = {r.urn for r in registrations if r.protected}
    # An agent's password goes with the agent.
    names = {r.name for r in registrations if r.type == "agentstack:agents:Agent"}
    agents = {password for name in names for password in (f"redis-{name}", f"{name}.kafka")}
    assert protected == {r.urn for r in registrations if r.type in DATA and r.name not in agents}


def test_nothing_is_protected_in_dev() -> None:
    assert not [r.urn for r in render(Environment.find(ROOT, "dev")).registrations if r.protected]


def test_no_component_overwrites_what_belongs_to_pulumi() -> None:
    # `self._protect = ...` would make every child inherit that protection.
    owned = {name for base in (pulumi.Resource, pulumi.ComponentResource) for name in inspect.get_annotations(base)}
    assert "_protect" in owned
    folder = Path(components.__file__).parent
    found = [
        f"{path.relative_to(folder)}: self.{name}"
        for path in folder.rglob("*.py")
        for name in sorted(owned)
        if f"self.{name} = " in path.read_text() or f"self.{name}: " in path.read_text()
    ]
    assert found == []
