"""The whole stack: its parts, in the order in which they need each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pulumi

from components.agent.component import Agent
from components.agent.declaration import AgentEnvironment
from components.agent.scaled_object import operator
from components.connection import Connection
from components.gateway.component import Gateway, controller
from components.inference.client import connect
from components.inference.component import ModelServer
from components.kafka import external as external_kafka
from components.kafka.component import KafkaCluster
from components.labels import selector
from components.namespaces.component import Namespaces
from components.network import Peer
from components.observability.component import Observability
from components.redis import external as external_redis
from components.redis.component import RedisCluster
from settings import Settings

from .guard import facts
from .hook import guarded


class Platform(pulumi.ComponentResource):
    """Everything that `settings` ask for.

    `secrets` holds the values of the secrets that agents read, by the name of their environment variable.
    """

    outputs: dict[str, pulumi.Input[object]]
    """What a person needs next; never a secret."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        *,
        secrets: Mapping[str, pulumi.Input[str]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("agentstack:platform:Platform", name, dict(facts(settings)), guarded(settings, opts))
        child = pulumi.ResourceOptions(parent=self)
        safeguards = settings.platform.safeguards
        self._settings = settings
        self._namespaces = Namespaces("namespaces", settings.namespaces, protect=safeguards.protect_data, opts=child)
        self._observability = Observability(
            "observability",
            settings.observability,
            namespaces=self._namespaces,
            storage_class=settings.platform.storage_class,
            protect=safeguards.protect_data,
            opts=child,
        )
        self._prometheus = Peer(self._namespaces.observability.name, selector("prometheus", "metrics"))
        environment = AgentEnvironment(
            namespace=self._namespaces.agents,
            secrets=secrets or {},
            require_secrets=safeguards.require_secrets,
            image_pull_secret=settings.platform.image_pull_secret,
            prometheus=self._prometheus,
            gateway=controller(settings.gateway) if settings.gateway.enabled else None,
            pools=settings.platform.all_pools,
            external_secrets=settings.platform.external_secrets,
            network=settings.platform.network,
            weighted_routes=settings.gateway.enabled and settings.gateway.api == "gateway-api",
        )
        keda = settings.platform.keda
        self._keda = operator(keda.namespace) if keda is not None else None
        redis_connections, kafka_connections = self._redis(child), self._kafka(child)
        inference_connections = self._inference(child)
        agents: list[Agent] = []
        for agent, spec in settings.agents.items():
            offered = {"redis": redis_connections, "kafka": kafka_connections, "inference": inference_connections}
            connections = {kind: to[agent] for kind, to in offered.items() if agent in to}
            agents.append(Agent(agent, spec, replace(environment, connections=connections), child))
        urls: dict[str, str] = {}
        if settings.gateway.enabled:
            gateway = Gateway(
                "gateway",
                settings.gateway,
                namespace=self._namespaces.agents,
                agents=settings.agents,
                after=[agent for agent in agents if settings.agents[agent.service].rollout.strategy == "canary"],
                opts=child,
            )
            urls = gateway.urls
        self.outputs = self._outputs(urls)
        self.register_outputs(self.outputs)

    def _redis(self, child: pulumi.ResourceOptions) -> Mapping[str, Connection]:
        spec = self._settings.redis
        if spec.external is not None:
            clients, agents = self._settings.agents, self._namespaces.agents
            tried = spec.external.preflight
            preflight = (
                external_redis.preflight("redis", spec, clients=clients, namespace=agents, opts=child)
                if tried
                else None
            )
            return dict.fromkeys(clients, external_redis.external(spec, preflight=preflight))
        return RedisCluster(
            "redis",
            spec,
            clients=self._settings.agents,
            namespace=self._namespaces.data,
            agents=self._namespaces.agents,
            prometheus=self._prometheus,
            keda=self._keda,
            cluster_domain=self._settings.platform.cluster_domain,
            storage_class=self._settings.platform.storage_class,
            protect=self._settings.platform.safeguards.protect_data,
            opts=child,
        ).connections

    def _kafka(self, child: pulumi.ResourceOptions) -> Mapping[str, Connection]:
        spec = self._settings.kafka
        if spec.external is not None:
            clients, agents = self._settings.agents, self._namespaces.agents
            tried = spec.external.preflight
            preflight = (
                external_kafka.preflight("kafka", spec, clients=clients, namespace=agents, opts=child)
                if tried
                else None
            )
            return dict.fromkeys(clients, external_kafka.external(spec, preflight=preflight))
        return KafkaCluster(
            "kafka",
            spec,
            clients=self._settings.agents,
            namespace=self._namespaces.data,
            agents=self._namespaces.agents,
            prometheus=self._prometheus,
            keda=self._keda,
            cluster_domain=self._settings.platform.cluster_domain,
            storage_class=self._settings.platform.storage_class,
            protect=self._settings.platform.safeguards.protect_data,
            opts=child,
        ).connections

    def _inference(self, child: pulumi.ResourceOptions) -> Mapping[str, Connection]:
        spec = self._settings.inference
        wanted = {name: agent.inference for name, agent in self._settings.agents.items() if agent.inference}
        own = None
        if spec.runs is not None:
            own = ModelServer(
                "inference",
                spec,
                namespace=self._namespaces.agents,
                storage_class=self._settings.platform.storage_class,
                prometheus=self._prometheus,
                opts=child,
            ).connection
        return {
            name: own if own and (used.backend, used.endpoint) == (spec.backend, None) else connect(used)
            for name, used in wanted.items()
        }

    def _outputs(self, urls: Mapping[str, str]) -> dict[str, pulumi.Input[object]]:
        observability = self._namespaces.observability.name
        parts = self._observability

        def forward(service: str, port: int) -> str:
            return f"kubectl --namespace {observability} port-forward service/{service} {port}"

        return {
            "agentUrls": dict(urls),
            "grafana": forward(parts.grafana_service, 3000),
            "grafanaAdmin": f"kubectl --namespace {observability} get secret {parts.grafana_admin_secret} "
            "--output jsonpath='{.data.admin-password}' | base64 --decode",
            "prometheus": forward(parts.prometheus_service, 9090),
            "alertmanager": forward(parts.alertmanager_service, 9093),
            "namespaces": {key: namespace.name for key, namespace in self._namespaces.all.items()},
        }
