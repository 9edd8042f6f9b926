"""The agents of the settings in a namespace of their own, with nothing else."""

import signal
from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s

from components.agent.component import Agent
from components.agent.declaration import AgentEnvironment
from components.context import Namespace
from settings.engine import load_stack

# As in the project's own program: a refusal comes without a traceback.
signal.signal(signal.SIGINT, signal.SIG_DFL)
settings = load_stack(Path(__file__).parent)
cluster = k8s.Provider(
    "cluster",
    cluster_identifier=pulumi.get_stack(),
    enable_config_map_mutable=True,
    enable_secret_mutable=True,
)
opts = pulumi.ResourceOptions(provider=cluster)
name = settings.namespaces.agents.name
made = k8s.core.v1.Namespace(name, metadata=k8s.meta.v1.ObjectMetaArgs(name=name), opts=opts)
for agent, spec in settings.agents.items():
    Agent(agent, spec, AgentEnvironment(namespace=Namespace(name, made.metadata.name)), opts)
