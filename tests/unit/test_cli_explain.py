"""`agentstack explain`: every value has its true origin, every object a purpose."""

from __future__ import annotations

import contextlib
import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from agentstack.commands.cli import main
from agentstack.explain.explanation import explained, explanation
from agentstack.explain.model import Explanation
from agentstack.rendering.environment import Environment
from agentstack.rendering.render import render as run_program
from components.agent.component import Agent
from components.agent.declaration import AgentEnvironment
from components.agent.purposes import PURPOSES
from components.connection import Connection, SecretRef
from components.network import NetworkEdge, Peer, public_host
from components.parts import PARTS
from settings import AgentSettings, ExternalSecrets, NetworkSettings

from .cli_program import project, write_project
from .conftest import Recorder

__all__ = ["project"]

ROOT = pathlib.Path(__file__).parents[2]
AGENT = """name: one
image: x/one:1
scaling: {min: 2, max: 8, cpu: 60}
public: {path: /one}
env:
  LEVEL: info
  MODE: fast
egress:
  - {host: api.example.com, port: 8443}
uses: [redis]
secrets:
  KEY: {required: true}
"""
DEV = """config:
  agentstack:platform: {safeguards: {requireSecrets: false, protectData: false}}
  agentstack:gateway: {host: h.example.com}
  agentstack:secrets: {KEY: {secure: v1:open-sesame}}
  agentstack:agents:
    one:
      scaling: {max: 3}
      env: {LEVEL: debug, MODE: null}
      egress: [{host: api.example.com}]
"""


@pytest.fixture
def one(project: pathlib.Path) -> Environment:
    """An environment of the real program, with one agent of which it changes something."""
    write_project(project, (ROOT / "__main__.py").read_text())
    (project / "agents" / "one.yaml").write_text(AGENT)
    (project / "Pulumi.dev.yaml").write_text(DEV)
    return Environment.find(pathlib.Path(), "dev")


def origins(found: Explanation) -> dict[str, tuple[Any, str]]:
    return {item.path: (item.value, str(item.origin or "default")) for item in found.settings}


def test_values_have_their_true_origin(one: Environment) -> None:
    found = explained(one, "one")
    settings = origins(found)
    assert settings["image"] == ("x/one:1", "agents/one.yaml:2")
    assert settings["scaling.min"] == (2, "agents/one.yaml:3")
    assert settings["scaling.max"] == (3, "Pulumi.dev.yaml:7")
    assert settings["scaling.scaleDownAfter"] == (None, "default")
    assert settings["env.LEVEL"] == ("debug", "Pulumi.dev.yaml:8")
    assert "env.MODE" not in settings
    # A list is replaced, not merged: the port of the agent's file does not count any more.
    assert settings["egress.0.host"] == ("api.example.com", "Pulumi.dev.yaml:9")
    assert settings["egress.0.port"] == (443, "default")
    (scaling,) = (item for item in found.settings if item.path == "scaling.max")
    assert scaling.overrides is not None
    assert (scaling.overrides.value, str(scaling.overrides)) == (8, "agents/one.yaml:3")
    assert [item.path for item in found.settings if item.overrides] == ["scaling.max", "env.LEVEL"]


def test_objects_name_what_shapes_them(one: Environment) -> None:
    found = {(item.kind, item.name): item for item in explained(one, "one").objects}
    assert found["Deployment", "one"].because == ()
    assert "one has 45 s to end: preStop + longestTask + 10" in found["Deployment", "one"].purpose
    assert "the number of pods, 2 to 3: up at once, down after" in found["HorizontalPodAutoscaler", "one"].purpose
    assert found["HorizontalPodAutoscaler", "one"].because == ("scaling",)
    assert found["NetworkPolicy", "one"].because == ("uses", "egress", "public")
    assert found["Ingress", "gateway"].because == ("public",)
    assert found["Secret", "one"].because == ("secrets",)
    assert found["Secret", "one.redis"].because == ("uses: redis",)
    assert not [item for item in found if item[1] in ("redis-auth", "grafana-admin")]


def test_variables_and_no_secret(one: Environment) -> None:
    found = explained(one, "one")
    variables = {item.name: (item.value, item.source) for item in found.variables}
    assert variables["LEVEL"] == ("debug", "ConfigMap one")
    assert variables["KEY"] == (None, "Secret one, if there")
    assert variables["REDIS_URL"] == (None, "Secret one.redis")
    assert variables["POD_NAME"] == (None, "the pod's metadata.name")
    assert "MODE" not in variables


def test_the_command(one: Environment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["agentstack", "explain", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    code, out, err = call("one")
    assert (code, err) == (0, "")
    assert "open-sesame" not in out
    assert max(map(len, out.splitlines())) <= 100
    lines = [line.split() for line in out.splitlines()]
    assert ["scaling.max", "3", "Pulumi.dev.yaml:7", "8,", "line", "3"] in lines
    assert ["Secret", "one.redis", "its", "own", "user", "of", "Redis", "uses:", "redis"] in lines
    content = json.loads(call("one", "--json")[1])
    assert set(content) == {"agent", "environment", "settings", "objects", "variables"}
    (image,) = (setting for setting in content["settings"] if setting["path"] == "image")
    assert image["origin"] == {
        "source": "agent",
        "file": "agents/one.yaml",
        "line": 2,
        "value": "x/one:1",
    }
    assert call("oen")[::2] == (2, "agents: unknown agent `oen`, did you mean `one`?\n")
    monkeypatch.chdir("agents")
    assert "../Pulumi.dev.yaml:7" in call("one")[1]


def test_an_object_that_nobody_described(project: pathlib.Path) -> None:
    program = (
        "import pulumi, pulumi_kubernetes as k8s\n"
        "part = pulumi.ComponentResource('agentstack:agents:Agent', 'one')\n"
        "k8s.storage.v1.StorageClass('s', provisioner='p', opts=pulumi.ResourceOptions(parent=part))\n"
    )
    write_project(project, program)
    (thing,) = explained(Environment.find(pathlib.Path(), "dev"), "one").objects
    assert (thing.kind, thing.purpose, thing.because) == ("StorageClass", "", ())


STACKS = {
    **dict.fromkeys(("dev", "staging", "prod"), (None, None)),
    "everything": (ROOT / "tests/manifests/everything.yaml", None),
    "redis": (ROOT / "tests/chaos/redis.yaml", ROOT / "tests/chaos/agents"),
    "kafka": (ROOT / "tests/chaos/kafka.yaml", ROOT / "tests/chaos/agents"),
}
KINDS: dict[str, dict[str, Any]] = {
    "watchdog": {
        "kind": "fleet",
        "fleet": {"range": {"prefix": "d-", "last": 99}},
        "uses": ["redis"],
        "produces": ["results"],
        "env": {"LEVEL": "info"},
        "secrets": {"KEY": {}, "STORED": {"existingSecret": {"name": "stored", "key": "k"}}},
        "reload": "file",
    },
    "learn": {"kind": "job", "uses": ["redis"], "produces": ["results"]},
    "drift": {"kind": "cron", "cron": {"schedule": "0 3 * * *"}, "uses": ["redis"], "produces": ["results"]},
    "hub": {
        "public": {"path": "/hub"},
        "scaling": {"min": 2, "max": 8},
        "rollout": "canary",
        "release": {"version": "2", "share": 30},
    },
    "worker": {
        "consumes": ["tasks"],
        "scaling": {"min": 2, "max": 8, "queue": {"topic": "tasks", "lagPerReplica": 5}},
        "rollout": "canary",
        "release": {"version": "2", "share": 30},
    },
    "desk": {"public": {"path": "/desk"}, "rollout": "blueGreen", "release": {"version": "2", "share": 0}},
}
KINDS_CONFIG: dict[str, Any] = {
    "agentstack:platform": {"safeguards": {"requireSecrets": False, "protectData": False}, "keda": {}},
    "agentstack:kafka": {"topics": {"tasks": {"partitions": 8}, "results": {"partitions": 3}}},
    "agentstack:gateway": {
        "host": "h.example.com",
        "api": "gateway-api",
        "parent": {"name": "public", "namespace": "infra"},
    },
    "agentstack:secrets": {"KEY": {"secure": "v1:open-sesame"}},
    "agentstack:namespaces": {"agents": {"quota": {"pods": 200}}},
}


@pytest.fixture
def kinds(tmp_path: pathlib.Path) -> Environment:
    """An environment with agents of every kind, releases in progress, files instead of variables, and HTTPRoutes."""
    for name, agent in KINDS.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"name": name, "image": "x.io/y:1", **agent}))
    settings = tmp_path.with_suffix(".settings")
    settings.write_text(yaml.safe_dump({"config": KINDS_CONFIG}))
    return Environment.find(ROOT, "kinds", file=settings, agents=tmp_path)


@pytest.mark.parametrize("name", [*STACKS, "kinds"])
def test_every_object_of_every_agent_has_a_purpose_and_a_folder(name: str, kinds: Environment) -> None:
    file, agents = STACKS.get(name, (None, None))
    environment = kinds if name == "kinds" else Environment.find(ROOT, name, file=file, agents=agents)
    registrations = run_program(environment).registrations
    for agent in environment.settings().agents:
        things = explanation(name, agent, [], registrations).objects
        assert {"Deployment", "Job", "CronJob"} & {thing.kind for thing in things}
        assert not [thing for thing in things if not thing.purpose or "None" in thing.purpose]
        assert not [thing for thing in things if thing.file.startswith("90-others/")]
        # What reads like another one's purpose is one of the two's only.
        said = [(thing.kind, thing.purpose) for thing in things]
        assert sorted(set(said)) == sorted(said)


def test_kinds_and_candidates_are_told_apart(kinds: Environment) -> None:
    registrations = run_program(kinds).registrations
    found = {
        (thing.kind, thing.name): thing.purpose
        for agent in KINDS
        for thing in explanation("kinds", agent, [], registrations).objects
    }
    assert "the fleet's controller" in found["Deployment", "watchdog-fleet"]
    assert found["PodDisruptionBudget", "watchdog"] == "has node drains leave 90 pods"
    assert found["NetworkPolicy", "watchdog-fleet"] != found["NetworkPolicy", "watchdog"]
    assert "at `0 3 * * *` in Etc/UTC, for 3600 s" in found["CronJob", "drift"]
    assert ("HTTPRoute", "hub") in found
    candidates = {name for (_, name), purpose in found.items() if "candidate" in purpose}
    assert candidates == {"hub-canary", "worker-canary", "desk-green"}
    for agent in ("watchdog", "learn", "drift"):
        assert {("Secret", f"{agent}.redis"), ("Secret", f"{agent}.kafka")} <= found.keys()


def test_variables_that_come_as_files(kinds: Environment) -> None:
    found = explained(kinds, "watchdog").variables
    variables = {item.name: (item.value, item.source) for item in found}
    assert len(variables) == len(found)
    assert variables["LEVEL"] == ("info", "ConfigMap watchdog, in /etc/agent/config")
    assert variables["KEY"] == (None, "Secret watchdog, if there, in /etc/agent/secrets")
    assert variables["STORED"] == (None, "Secret stored, key k, if there, in /etc/agent/secrets")
    assert variables["REDIS_URL"] == (None, "Secret watchdog.redis, in /etc/agent/secrets")
    assert variables["PORT"] == ("8080", "the pod's template")
    assert variables["DEVICE_ID"] == (None, "ConfigMap watchdog-fleet, a line of devices")
    assert "MAX_UNAVAILABLE_PERCENT" not in variables


def test_purposes_name_fields_of_agents() -> None:
    fields = {field.alias or name for name, field in AgentSettings.model_fields.items()}
    named = {field.partition(":")[0] for part in PARTS for purpose in part.purposes for field in purpose.fields}
    assert named <= fields


EVERYTHING: dict[str, Any] = {
    "args": ["serve"],
    "user": 20000,
    "port": 9000,
    "resources": {"requests": {"cpu": "200m"}},
    "scaling": {"min": 2, "max": 3},
    "probes": {"liveness": {"period": "20s"}},
    "metrics": None,
    "env": {"LEVEL": "debug"},
    "secrets": {"KEY": {"required": True}, "STORED": {"external": {"key": "k"}}},
    "uses": ["redis"],
    "inference": {},
    "identity": {"gcp": {"serviceAccount": "agent-1@project-1.iam.gserviceaccount.com"}},
    "resilience": {"concurrency": 2, "queueBound": 4, "requestTimeout": "5s"},
    "consumes": ["a"],
    "produces": ["b"],
    "calls": ["other"],
    "egress": [{"host": "api.example.com"}, {"cidr": "192.0.2.0/24"}],
    "public": {"path": "/x"},
    "shutdown": {"longestTask": "2m"},
    "placement": {"architecture": "arm64", "gpu": {"count": 1}},
    "scratch": "1Gi",
}


@pytest.mark.parametrize("field", EVERYTHING)
def test_what_shapes_an_object_is_what_changes_it(
    field: str, render: Callable[[Callable[[], object]], Recorder]
) -> None:
    """Without a field, exactly the objects change that name it (and the one that runs the pods)."""
    edge = NetworkEdge((Peer("data"),), (6379,))
    connection = Connection(
        environment={"REDIS_HOST": "h", "REDIS_PORT": "1"},
        egress=(edge,),
        login={"password": SecretRef("one.redis", "p")},
    )
    environment = AgentEnvironment(
        connections={
            "redis": connection,
            "kafka": Connection(environment={"SERVERS": "s"}),
            "inference": Connection(
                environment={"MODEL": "m"},
                egress=(NetworkEdge((Peer("agents"),), (8000,)), NetworkEdge((public_host("api.openai.com"),), (443,))),
            ),
        },
        secrets={"KEY": "v", "OPENAI_API_KEY": "v"},
        external_secrets=ExternalSecrets(store="s"),
        network=NetworkSettings(fqdn_policies="cilium"),
        prometheus=Peer("obs"),
        gateway=Peer("traefik"),
    )

    def objects(declared: dict[str, Any]) -> dict[str, dict[str, Any]]:
        settings = AgentSettings.model_validate({"image": "x/y:1", **declared})
        seen = render(lambda: Agent("one", settings, environment)).seen
        return {kind: inputs for (kind, _), inputs in seen.items() if kind not in ("Agent", "Deployment")}

    changed: set[str] = set()
    external = {"inference": {"backend": "openai", "model": "m", "apiKey": {"external": {"key": "k"}}}}
    queue = {"scaling": {"min": 2, "max": 3, "queue": {"redisList": "checkpoint:q", "lagPerReplica": 5}}}
    for other in (external, {"inference": {"backend": "openai", "model": "m"}} | queue):
        declared = EVERYTHING | other
        with contextlib.suppress(ValidationError):  # without what the queue needs
            without = objects({key: declared[key] for key in declared if key != field})
            whole = objects(declared)
            changed |= {kind for kind in whole | without if whole.get(kind) != without.get(kind)}
    named = {purpose.kind for purpose in PURPOSES if not purpose.roles and field in purpose.fields}
    # The edge to Kafka stays while the other one of the two needs it.
    assert changed | ({"NetworkPolicy"} if field in ("consumes", "produces") else set()) == named
