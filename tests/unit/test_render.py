"""A run of the program on the test monitor: what comes out of it, and what it may not do."""

from __future__ import annotations

import pathlib
import random
from typing import Any

import pulumi
import pytest

from agentstack.rendering.environment import WITHHELD, Environment
from agentstack.rendering.registration import Registration, Rendered, Secret
from agentstack.rendering.render import render

from .cli_program import PROGRAM, write_project

HEAD = "import pulumi\nimport pulumi_kubernetes as k8s\nimport pulumi_random as random\n"


class Known:
    """A store whose only secret is known to the test."""

    def value(self, name: str, inputs: Any, make: Any) -> str:
        made = make(random.Random(1))
        assert len(made) == 24
        return "open-sesame"


def run(folder: pathlib.Path, program: str = PROGRAM, config: str = "{}", **options: Any) -> Rendered:
    return render(Environment.find(write_project(folder, program, config), "dev"), **options)


def named(rendered: Rendered, name: str) -> Registration:
    (found,) = [r for r in rendered.registrations if r.name == name]
    return found


def test_everything_is_recorded_with_its_parent_and_plain_values(tmp_path: pathlib.Path) -> None:
    rendered = run(tmp_path)
    part = named(rendered, "part")
    assert part.component
    assert {r.name for r in rendered.registrations if r.parent == part.urn} == {
        "space", "password", "identity", "auth", "config", "service",
    }  # fmt: skip
    assert {r.name for r in rendered.registrations if r.is_kubernetes_object} == {"space", "auth", "config", "service"}
    service = named(rendered, "service").inputs
    assert service["metadata"] == {"name": "service", "namespace": "space"}
    port = service["spec"]["ports"][0]["port"]
    assert (port, type(port)) == (80, int)
    assert rendered.outputs == {"where": "here"}
    assert rendered.warnings == []


def test_two_runs_give_the_same(tmp_path: pathlib.Path) -> None:
    def key(registration: Registration) -> str:
        return registration.urn

    one, other = run(tmp_path / "a"), run(tmp_path / "b")
    assert sorted(one.registrations, key=key) == sorted(other.registrations, key=key)
    assert len(named(one, "config").inputs["data"]["id"]) == 22


def test_secrets_are_marked_where_they_are(tmp_path: pathlib.Path) -> None:
    program = HEAD + (
        "password = random.RandomPassword('password', length=24)\n"
        "k8s.core.v1.ConfigMap('config', data={'a': 'plain', 'b': pulumi.Output.concat('-', password.result)})\n"
        "pulumi.export('password', password.result)\n"
    )
    rendered = run(tmp_path, program, store=Known())
    assert named(rendered, "config").inputs["data"] == {"a": "plain", "b": Secret("-open-sesame")}
    assert rendered.outputs == {"password": Secret("open-sesame")}
    assert "open-sesame" not in repr(rendered.registrations)


def test_without_a_store_secrets_are_not_known(tmp_path: pathlib.Path) -> None:
    data = named(run(tmp_path), "auth").inputs["stringData"]
    assert data == Secret({"password": WITHHELD, "url": f"x://:{WITHHELD}@h"})


def test_encrypted_configuration_is_a_secret_of_unknown_value(tmp_path: pathlib.Path) -> None:
    program = HEAD + (
        "config = pulumi.Config()\n"
        "pulumi.export('whole', config.require_secret_object('secrets')['KEY'])\n"
        "pulumi.export('size', config.require_object('group')['size'])\n"
        "pulumi.export('marked', pulumi.runtime.is_config_secret('agentstack:secrets'))\n"
    )
    config = "{agentstack:secrets: {KEY: {secure: v1:abc}}, group: {size: 3}}"
    assert run(tmp_path, program, config).outputs == {"whole": Secret(WITHHELD), "size": 3, "marked": True}


def test_warnings_of_the_program_are_kept(tmp_path: pathlib.Path) -> None:
    program = HEAD + "pulumi.log.info('quiet')\npulumi.log.warn('mind the gap')\n"
    assert run(tmp_path, program).warnings == ["mind the gap"]


def test_a_refusal_and_a_bug_reach_the_caller(tmp_path: pathlib.Path) -> None:
    with pytest.raises(pulumi.RunError, match="bad input"):
        run(tmp_path / "a", HEAD + "raise pulumi.RunError('bad input')\n")
    with pytest.raises(ZeroDivisionError):
        run(tmp_path / "b", "1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        run(tmp_path / "c", HEAD + "pulumi.Output.from_input(0).apply(lambda zero: 1 / zero)\n")


def test_what_needs_a_cluster_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(NotImplementedError, match="cannot read found"):
        run(tmp_path, HEAD + "k8s.core.v1.Secret.get('found', 'space/found')\n")


def test_two_resources_with_one_urn_are_refused(tmp_path: pathlib.Path) -> None:
    twice = "k8s.core.v1.Namespace('same')\n"
    with pytest.raises(ValueError, match="Namespace::same"):
        run(tmp_path, HEAD + twice + twice)


def test_the_same_name_below_another_parent_is_another_resource(tmp_path: pathlib.Path) -> None:
    program = HEAD + (
        "class A(pulumi.ComponentResource):\n"
        "    def __init__(self, kind, name, opts=None):\n"
        "        super().__init__(kind, name, None, opts)\n"
        "for kind in ('t:t:One', 't:t:Two'):\n"
        "    outer = A(kind, 'outer')\n"
        "    inner = A('t:t:Inner', 'inner', pulumi.ResourceOptions(parent=outer))\n"
        "    k8s.core.v1.Namespace('same', opts=pulumi.ResourceOptions(parent=inner))\n"
    )
    assert len(run(tmp_path, program).registrations) == 6


def test_aliases_are_the_urns_that_the_engine_looks_for(tmp_path: pathlib.Path) -> None:
    program = HEAD + (
        'part = pulumi.ComponentResource("a:b:New", "new", None, pulumi.ResourceOptions('
        'aliases=[pulumi.Alias(name="old", type_="a:b:Old")]))\n'
        'opts = pulumi.ResourceOptions(parent=part, aliases=[pulumi.Alias(name="before")])\n'
        'k8s.core.v1.ConfigMap("new-config", opts=opts)\n'
        'k8s.core.v1.ConfigMap("out", opts=pulumi.ResourceOptions(aliases=[pulumi.Alias(parent=part)]))\n'
        'k8s.core.v1.ConfigMap("in", opts=pulumi.ResourceOptions('
        "parent=part, aliases=[pulumi.Alias(parent=pulumi.ROOT_STACK_RESOURCE)]))\n"
    )
    rendered = run(tmp_path, program)

    def former(name: str) -> set[str]:
        return {urn.partition("::")[2].partition("::")[2] for urn in named(rendered, name).aliases}

    assert former("new") == {"a:b:Old::old"}
    # Its own alias, its parent's, and both; a name that begins with the parent's follows it.
    assert former("new-config") == {
        "a:b:New$kubernetes:core/v1:ConfigMap::before",
        "a:b:Old$kubernetes:core/v1:ConfigMap::old-config",
        "a:b:Old$kubernetes:core/v1:ConfigMap::before",
    }
    assert "a:b:New$kubernetes:core/v1:ConfigMap::out" in former("out")
    assert "kubernetes:core/v1:ConfigMap::in" in former("in")
