"""One agent in a namespace of its own; `agent` of the configuration holds its settings."""

import json

import pulumi

from components.agent.component import Agent
from components.agent.declaration import AgentEnvironment
from components.connection import Connection
from components.namespaces.component import Namespaces
from settings import AgentSettings, NamespacesSettings

quota = {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "8", "memory": "8Gi"}}
names = ("agents", "data", "observability", "collectors")
namespaces = Namespaces(
    "namespaces",
    NamespacesSettings.model_validate({name: {"name": f"scaled-{name}", "quota": quota} for name in names}),
    protect=False,
)
kafka = {"KAFKA_BOOTSTRAP_SERVERS": "kafka.invalid:9092", "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}
small = {"requests": {"cpu": "5m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}}
Agent(
    "worker",
    AgentSettings.model_validate(
        # An image that every cluster of these tests has, which begins at once.
        {"image": "ghcr.io/agentstack/stand-in:1.0.0", "resources": small, "consumes": ["tasks"]}
        | json.loads(pulumi.Config().require("agent"))
    ),
    AgentEnvironment(
        namespace=namespaces.namespaces.agents,
        connections={"kafka": Connection(environment=kafka)},
    ),
)
