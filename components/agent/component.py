"""One agent: from its declaration to all objects that it needs to run."""

from __future__ import annotations

from dataclasses import replace

import pulumi
import pulumi_kubernetes as k8s

from components.context import Context, Offer
from components.gateway.component import controller
from settings import AgentSettings, Settings

from .batch import cron, job
from .configuration import own_secrets, plain_variables
from .declaration import COMPONENT, AgentEnvironment, Declaration, caller_label
from .external_secrets import external_secret
from .fleet import fleet
from .identity import service_account
from .network import agent_policies
from .service import services
from .workload import workload

__all__ = ["COMPONENT", "Agent", "AgentEnvironment", "caller_label"]


class Agent(pulumi.ComponentResource):
    """A Deployment of one agent, with everything around it that production needs; or, by its kind, a fleet or a Job.

    Service, ServiceAccount, ConfigMap, Secret (if it has secrets of its own), HorizontalPodAutoscaler (if it
    scales), PodDisruptionBudget and a NetworkPolicy with exactly the declared edges. During a release by `canary` or
    `blueGreen`, the candidate has a Deployment, autoscaler and budget of its own.

    `name` is a DNS label of at most 42 characters. Raises `ValueError` if `settings` use a connection or a pool
    that `environment` does not offer.
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

        account = service_account(agent, child)
        config_map = k8s.core.v1.ConfigMap(name, metadata=agent.metadata, data=plain_variables(agent), opts=after)
        needs: list[pulumi.Resource] = [account, config_map, *agent_policies(agent, after)]
        if (external := external_secret(agent, child)) is not None:
            needs.append(external)
        if secrets := own_secrets(agent):
            needs.append(k8s.core.v1.Secret(name, metadata=agent.metadata, string_data=secrets, opts=child))
        needs += ready
        match settings.kind:
            case "service":
                workloads: list[pulumi.Resource] = []
                # The candidate first: the stable version gives up pods once those in their place are ready, and never
                # before.
                for version in reversed(agent.tracks):
                    workloads.append(workload(version, needs=[*needs, *workloads], parent=self))
                services(agent, workloads, self)
            case "fleet":
                fleet(agent, needs=needs, parent=self)
            case "job":
                job(agent, needs=needs, parent=self)
            case "cron":
                cron(agent, needs=needs, parent=self)
        self.register_outputs({"service": self.service})


def build(settings: Settings, context: Context, opts: pulumi.ResourceOptions) -> Offer:
    """Build each agent in what the platform and the parts before it offer."""
    platform, gateway = settings.platform, settings.gateway
    environment = AgentEnvironment(
        namespace=context.namespaces.agents,
        secrets=context.secrets,
        require_secrets=platform.safeguards.require_secrets,
        image_pull_secret=platform.image_pull_secret,
        prometheus=context.prometheus,
        gateway=controller(gateway) if gateway.enabled else None,
        pools=platform.all_pools,
        external_secrets=platform.external_secrets,
        network=platform.network,
        weighted_routes=gateway.enabled and gateway.api == "gateway-api",
    )
    return Offer(
        ready={
            name: Agent(name, agent, replace(environment, connections=context.connections_of(name)), opts)
            for name, agent in context.agents.items()
        }
    )
