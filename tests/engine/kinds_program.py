"""A fleet, a job and a cron agent in namespaces of their own; the settings `devices` and `word` change them."""

import pulumi
import pulumi_kubernetes as k8s

from components.agent.component import Agent
from components.agent.declaration import AgentEnvironment
from components.namespaces.component import Namespaces
from settings import AgentSettings, NamespacesSettings

config = pulumi.Config()
SMALL = {"requests": {"cpu": "5m", "memory": "16Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}}
QUOTA = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "20", "memory": "6Gi"}}
# The entry point of the redis image runs what it is told to, and it has a shell.
ENDS = {"image": "redis:8.10.2", "resources": SMALL, "args": ["sh", "-c", f"echo {config.get('word') or 'first'}"]}

names = ("agents", "data", "observability", "collectors")
settings = NamespacesSettings.model_validate({name: {"name": f"kinds-{name}", "quota": QUOTA} for name in names})
# As the program of the project has it: a changed ConfigMap is an update.
opts = pulumi.ResourceOptions(provider=k8s.Provider("cluster", enable_config_map_mutable=True))
environment = AgentEnvironment(namespace=Namespaces("namespaces", settings, protect=False, opts=opts).namespaces.agents)
devices = (config.get("devices") or "a,b,c,d,e").split(",")
watchdog = {"kind": "fleet", "image": "ghcr.io/agentstack/stand-in:1.0.0", "resources": SMALL}
for name, agent in {
    "watchdog": {**watchdog, "fleet": {"devices": devices}, "shutdown": {"longestTask": "0s"}},
    "once": {**ENDS, "kind": "job"},
    "nightly": {**ENDS, "kind": "cron", "cron": {"schedule": "0 3 * * *"}},
}.items():
    Agent(name, AgentSettings.model_validate(agent), environment, opts)
