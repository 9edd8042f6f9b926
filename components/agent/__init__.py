"""One agent: from its declaration to all objects that it needs to run."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as k8s

from settings import AgentSettings

from .batch import cron, job
from .configuration import own_secrets, plain_variables
from .declaration import COMPONENT, AgentEnvironment, Declaration, caller_label
from .fleet import fleet
from .network import agent_policy
from .workload import workload

__all__ = ["COMPONENT", "Agent", "AgentEnvironment", "caller_label"]


class Agent(pulumi.ComponentResource):
    """A Deployment of one agent, with everything around it that production needs; or, by its kind, a fleet or a Job.

    Service, ServiceAccount, ConfigMap, Secret (if it has secrets of its own), HorizontalPodAutoscaler (if it
    scales), PodDisruptionBudget and a NetworkPolicy with exactly the declared edges.

    `name` is a DNS label of at most 42 characters. Raises `ValueError` if `settings` use a connection that
    `environment` does not offer.
    """

    service: str
    """The name of the Service, which is the agent's name; only agents of `kind: service` have one."""

    def __init__(
        self,
        name: str,
        settings: AgentSettings,
        environment: AgentEnvironment | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("agentstack:agents:Agent", name, None, opts)
        self.service = name
        agent = Declaration(name, settings, environment or AgentEnvironment())
        ready = [resource for connection in agent.connections for resource in connection.ready]
        child = pulumi.ResourceOptions(parent=self)
        # What the pods that run live by stays as it is, too, until what they are to use is ready.
        after = pulumi.ResourceOptions(parent=self, depends_on=ready)

        account = k8s.core.v1.ServiceAccount(
            name, metadata=agent.metadata, automount_service_account_token=False, opts=child
        )
        config_map = k8s.core.v1.ConfigMap(name, metadata=agent.metadata, data=plain_variables(agent), opts=after)
        needs: list[pulumi.Resource] = [account, config_map, agent_policy(agent, after)]
        if secrets := own_secrets(agent):
            needs.append(k8s.core.v1.Secret(name, metadata=agent.metadata, string_data=secrets, opts=child))
        run = {"service": workload, "fleet": fleet, "job": job, "cron": cron}[settings.kind]
        run(agent, needs=[*needs, *ready], parent=self)
        if settings.kind == "service":
            self._service(agent, child)
        self.register_outputs({"service": self.service})

    def _service(self, agent: Declaration, opts: pulumi.ResourceOptions) -> None:
        k8s.core.v1.Service(
            agent.name,
            metadata=agent.metadata,
            spec=k8s.core.v1.ServiceSpecArgs(
                selector=agent.selector,
                ports=[k8s.core.v1.ServicePortArgs(name="http", port=80, target_port="http")],
            ),
            opts=opts,
        )
