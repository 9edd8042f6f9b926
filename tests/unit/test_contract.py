"""The contract between the stack and an agent's process: what the library for agents reads is what the stack renders."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from agentstack_runtime.contract import VARIABLES, load

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
