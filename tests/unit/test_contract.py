"""The contract between the stack and an agent's process: what the runtime library reads is what the stack renders."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from agentstack_runtime.contract import PREFIXES, VARIABLES, Contract, load

from agentstack.explain.explanation import explained
from agentstack.explain.model import Variable
from agentstack.rendering.environment import Environment

ROOT = Path(__file__).parents[2]
KEY = {"existingSecret": {"name": "s", "key": "k"}}
EVERYTHING: dict[str, Any] = {
    "image": "x/y:1",
    "uses": ["redis", "workflows"],
    "consumes": ["results"],
    "produces": ["tasks"],
    "calls": ["long-named-helper"],
    "metrics": {"port": 9090},
    "resilience": {"concurrency": 4, "queueBound": 16, "requestTimeout": "5s"},
    "shutdown": {"longestTask": "5m"},
}
"""An agent that uses all that there is."""
TLS = {"clusterIssuer": "internal"}
INSIDE = {"redis": {"tls": TLS}, "kafka": {"tls": TLS}}
OUTSIDE = {
    "redis": {
        "mode": "external",
        "external": {
            "host": "redis.example.com",
            "urlSecret": {"name": "redis", "key": "url"},
            "tls": {"ca": {"name": "redis", "key": "ca"}},
        },
    },
    "kafka": {
        "mode": "external",
        "external": {
            "brokers": ["kafka.example.com:9093"],
            "authentication": {
                "username": {"name": "kafka", "key": "user"},
                "password": {"name": "kafka", "key": "password"},
            },
            "tls": {"ca": {"name": "kafka", "key": "ca"}},
        },
    },
}
SERVER = {"model": "m", "server": {"gpus": 0, "resources": {"requests": {"cpu": "1", "memory": "10Gi"}}}}
PLACES: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "alone": ({}, {"uses": [], "consumes": [], "produces": [], "calls": [], "metrics": {}, "resilience": None}),
    "inside": (INSIDE, {}),
    "plain": ({"kafka": {"authentication": "none"}}, {}),
    "outside": (OUTSIDE, {}),
    "no breaker": ({}, {"resilience": {"circuitBreaker": None}}),
    "files": (INSIDE | {"inference": {"backend": "openai", "model": "m", "apiKey": KEY}}, {"reload": "file"}),
    "openai": ({"inference": {"backend": "openai", "model": "m", "apiKey": KEY}}, {}),
    "azure": (
        {
            "inference": {
                "backend": "azure",
                "model": "m",
                "endpoint": "https://x.openai.azure.com",
                "apiVersion": "2024-10-21",
                "apiKey": KEY,
            }
        },
        {},
    ),
    "vllm": ({"inference": {"backend": "vllm", **SERVER}}, {}),
    "ollama": ({"inference": {"backend": "ollama", **SERVER}}, {}),
    "onnx": ({"inference": {"backend": "onnx", "model": "/models/m.onnx"}}, {}),
    "echo": ({"inference": {"backend": "echo"}}, {}),
    "fleet": ({}, {"kind": "fleet", "fleet": {"devices": ["a"]}, "consumes": []}),
}
"""Environments and what is different there of the agent: together they have every variable that there is."""


@functools.cache
def found(place: str) -> tuple[Variable, ...]:
    """The variables that the agent finds, of which the stack sets all: it declares none of its own."""
    sections, changes = PLACES[place]
    agent = EVERYTHING | ({"inference": {}} if "inference" in sections else {})
    agent |= {key: agent[key] | value if key == "resilience" and value else value for key, value in changes.items()}
    agents = {
        "everything": agent,
        "long-named-helper": {"image": "x/y:1", "uses": ["workflows"], "produces": ["tasks"]},
        "doer": {
            "image": "x/y:1",
            "consumes": ["tasks"],
            "inference": {"backend": "echo"},
            "shutdown": {"longestTask": "5m"},
        },
    }
    room = {"requests": {"cpu": "16", "memory": "64Gi"}, "limits": {"cpu": "64", "memory": "128Gi"}}
    config = {
        "platform": {"safeguards": {"requireSecrets": False}},
        "namespaces": {"agents": {"quota": room}},
        **sections,
    }
    config["kafka"] = {"topics": {"tasks": {}, "results": {}}, **config.get("kafka", {})}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "agents").mkdir()
        for agent_name, content in agents.items():
            (folder / "agents" / f"{agent_name}.yaml").write_text(yaml.safe_dump({"name": agent_name, **content}))
        file = folder / "Pulumi.x.yaml"
        file.write_text(yaml.safe_dump({"config": {f"agentstack:{key}": value for key, value in config.items()}}))
        environment = Environment.find(ROOT, "x", file=file, agents=folder / "agents")
        return tuple(explained(environment, "everything").variables)


def listed(name: str) -> str:
    """The entry of the library that a variable belongs to."""
    return next((prefix for prefix in PREFIXES if name.startswith(prefix)), name)


def process(place: str, folder: Path) -> Contract:
    """The contract as a process reads it that finds these variables; what is secret has some value."""
    secrets = {"REDIS_URL": "rediss://everything:word@redis:6379"}
    files = folder / "files"
    environment = {}
    for variable in found(place):
        value = variable.value
        if variable.name.endswith("_CA_FILE"):
            value = str(folder / "ca.crt")
            Path(value).write_text("a certificate")
        elif value is None:
            value = secrets.get(variable.name, f"of {variable.name}")
        _, _, mounted = variable.source.partition(", in /etc/agent/")
        if mounted:
            (files / mounted).mkdir(parents=True, exist_ok=True)
            (files / mounted / variable.name).write_text(value)
        else:
            environment[variable.name] = value
    return load(environment, config=files / "config", secrets=files / "secrets")


def test_both_sides_have_the_same_variables() -> None:
    rendered = {listed(variable.name) for place in PLACES for variable in found(place)}
    assert rendered - {*VARIABLES, *PREFIXES} == set(), "the library does not know them"
    assert {*VARIABLES, *PREFIXES} - rendered == set(), "the stack never sets them"


@pytest.mark.parametrize("place", PLACES)
def test_what_is_secret_comes_from_secrets_alone(place: str) -> None:
    for variable in found(place):
        known = VARIABLES.get(variable.name) or PREFIXES[listed(variable.name)]
        # Of an external Kafka the user's name is in a Secret, too.
        assert variable.source.startswith("Secret") == known.secret, variable.name


def test_with_reload_file_what_is_fixed_stays_in_the_environment_and_nothing_else_does() -> None:
    inside = {variable.name for variable in found("files") if ", in /etc/agent/" not in variable.source}
    fixed = {name for name, variable in VARIABLES.items() if variable.fixed}
    assert inside == fixed - {"DEVICE_ID"}, "a fleet alone has a device"


@pytest.mark.parametrize("place", PLACES)
def test_a_process_takes_what_is_rendered(place: str, tmp_path: Path) -> None:
    contract = process(place, tmp_path)
    assert contract.agent_name == "everything"
    assert contract.resilience.longest_task.total_seconds() == 300
    assert contract.port == 8080
    if place == "alone":
        assert (contract.redis, contract.kafka, contract.inference) == (None, None, None)
        assert contract.metrics_port == 8080
        return
    assert contract.metrics_port == 9090
    assert contract.redis is not None
    assert contract.kafka is not None
    assert contract.kafka.produce_topics == ("tasks",)
    assert contract.kafka.consume_topics == (() if place == "fleet" else ("results",))
    assert contract.agents == {"long-named-helper": "http://long-named-helper"}
    assert contract.workflows_dir == Path("/etc/agent/workflows")
    assert contract.device == ("of DEVICE_ID" if place == "fleet" else None)
    assert contract.resilience.concurrency == 4
    assert (contract.resilience.circuit_breaker is None) == (place == "no breaker")


@pytest.mark.parametrize(
    ("place", "backend", "model", "endpoint", "has_key"),
    [
        ("openai", "openai", "m", "https://api.openai.com/v1", True),
        ("azure", "azure", "m", "https://x.openai.azure.com", True),
        ("vllm", "vllm", "m", "http://vllm:8000/v1", True),
        ("ollama", "ollama", "m", "http://ollama:11434", True),
        ("onnx", "onnx", "/models/m.onnx", None, False),
        ("echo", "echo", "echo", None, False),
        ("files", "openai", "m", "https://api.openai.com/v1", True),
    ],
)
def test_a_process_knows_what_answers_its_model_calls(
    place: str, backend: str, model: str, endpoint: str | None, has_key: bool, tmp_path: Path
) -> None:
    inference = process(place, tmp_path).inference
    assert inference is not None
    assert (inference.backend, inference.model, inference.endpoint) == (backend, model, endpoint)
    assert (inference.api_key is not None) == has_key


@pytest.mark.parametrize(
    ("place", "protocol"), [("inside", "SASL_SSL"), ("outside", "SASL_SSL"), ("plain", "PLAINTEXT")]
)
def test_a_process_knows_how_to_log_in(place: str, protocol: str, tmp_path: Path) -> None:
    kafka = process(place, tmp_path).kafka
    assert kafka is not None
    assert kafka.security_protocol == protocol
    assert (kafka.password is None) == (kafka.ca_file is None) == (protocol == "PLAINTEXT")


def test_the_page_has_the_example_as_it_is() -> None:
    example = (ROOT / "examples" / "agent" / "agent.py").read_text()
    assert f"```python\n{example}```\n" in (ROOT / "docs" / "write-an-agent.md").read_text()


@pytest.mark.parametrize("name", [*VARIABLES, *PREFIXES])
def test_the_page_has_every_variable(name: str) -> None:
    assert f"`{name}" in (ROOT / "docs" / "write-an-agent.md").read_text()
