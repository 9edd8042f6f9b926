"""A small Pulumi project in a temporary folder, for the tests of the command line."""

from __future__ import annotations

import pathlib

import pytest

from settings import files

PROGRAM = """
import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random


class Part(pulumi.ComponentResource):
    def __init__(self, name, opts=None):
        super().__init__("test:parts:Part", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        namespace = k8s.core.v1.Namespace("space", metadata={"name": "space"}, opts=child)
        def metadata(name):
            return k8s.meta.v1.ObjectMetaArgs(name=name, namespace=namespace.metadata.name)
        password = random.RandomPassword("password", length=24, special=False, opts=child)
        identity = random.RandomId("identity", byte_length=16, opts=child)
        k8s.core.v1.Secret(
            "auth",
            metadata=metadata("auth"),
            string_data={"password": password.result, "url": pulumi.Output.concat("x://:", password.result, "@h")},
            opts=child,
        )
        data = {"id": identity.b64_url, "a.sh": "#!/bin/sh\\nexit 0\\n"}
        k8s.core.v1.ConfigMap("config", metadata=metadata("config"), data=data, opts=child)
        spec = {"type": "ExternalName", "external_name": "h", "ports": [{"port": 80}]}
        k8s.core.v1.Service("service", metadata=metadata("service"), spec=spec, opts=child)
        self.register_outputs({})


part = Part("part")
pulumi.export("where", "here")
"""


def write_project(folder: pathlib.Path, program: str = PROGRAM, config: str = "{}") -> pathlib.Path:
    """Write a project with the environment `dev`; return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Pulumi.yaml").write_text("name: agentstack\nruntime: python\n")
    (folder / "Pulumi.dev.yaml").write_text(f"config: {config}\n")
    (folder / "__main__.py").write_text(program)
    (folder / "agents").mkdir(exist_ok=True)
    (folder / "agents" / "one.yaml").write_text("name: one\nimage: x/one:1\nenv: {LEVEL: info, MODE: fast}\n")
    return folder


@pytest.fixture
def project(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The current folder is a project."""
    files._composed.cache_clear()  # by relative path: of the project of another test
    monkeypatch.chdir(write_project(tmp_path))
    return tmp_path
