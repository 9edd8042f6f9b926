"""One agent in a namespace of its own; `agent` of the configuration holds its settings."""

import json

import pulumi
import pulumi_kubernetes as k8s

from components.agent import Agent, AgentEnvironment
from components.connection import Connection
from components.namespaces import Namespace
from settings import AgentSettings

namespace = k8s.core.v1.Namespace("scaled-agents", metadata={"name": "scaled-agents"})
kafka = {"KAFKA_BOOTSTRAP_SERVERS": "kafka.invalid:9092", "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}
small = {"requests": {"cpu": "5m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}}
Agent(
    "worker",
    AgentSettings.model_validate(
        # An image that every cluster of these tests has, which begins at once.
        {"image": "ghcr.io/agentstack/executor:1.0.0", "resources": small, "consumes": ["tasks"]}
        | json.loads(pulumi.Config().require("agent"))
    ),
    AgentEnvironment(
        namespace=Namespace("scaled-agents", namespace.metadata.name),
        connections={"kafka": Connection(environment=kafka)},
    ),
)
