"""One agent: from its declaration to all objects that it needs to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as k8s

from components.connection import Connection, SecretRef, mounted_files
from components.labels import labels, selector
from components.namespaces import Namespace
from components.network import PUBLIC_INTERNET, Edge, Peer, network_policy
from components.pods import (
    CONFIG_HASH,
    SECRET_HASH,
    config_hash,
    container_security,
    field_variable,
    pod_security,
    resource_requirements,
    scrape_annotations,
    secret_variable,
    spread,
)
from settings import AgentSettings, Probe
from settings.agents import MAX_SURGE_PERCENT
from settings.types import image_tag

from .autoscaler import autoscaler

COMPONENT = "agent"
"""The value of the label `app.kubernetes.io/component` of every agent."""


def caller_label(agent: str) -> dict[str, str]:
    """The label of pods that may call `agent`."""
    return {f"agentstack.dev/calls-{agent}": "true"}


@dataclass(frozen=True)
class AgentEnvironment:
    """What an agent finds around it. The defaults suit a cluster with nothing but a namespace."""

    namespace: Namespace = field(default_factory=lambda: Namespace.existing("agents"))
    connections: Mapping[str, Connection] = field(default_factory=dict)
    """What the agent may name in `uses`: `redis`, `kafka`."""
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Values of secrets by the name of their environment variable."""
    require_secrets: bool = True
    """Whether a pod waits for a required secret that is not there; if not, it starts without."""
    image_pull_secret: str | None = None
    prometheus: Peer | None = None
    """Who scrapes metrics."""
    gateway: Peer | None = None
    """Who routes requests from outside to public agents."""


class Agent(pulumi.ComponentResource):
    """A Deployment of one agent, with everything around it that production needs.

    Service, ServiceAccount, ConfigMap, Secret (if it has secrets of its own), HorizontalPodAutoscaler (if it
    scales), PodDisruptionBudget and a NetworkPolicy with exactly the declared edges.

    `name` is a DNS label of at most 42 characters. Raises `ValueError` if `settings` use a connection that
    `environment` does not offer.
    """

    service: str
    """The name of the Service, which is the agent's name."""

    def __init__(
        self,
        name: str,
        settings: AgentSettings,
        environment: AgentEnvironment | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("agentstack:agents:Agent", name, None, opts)
        self.service = name
        self._agent = name
        self._settings = settings
        self._environment = environment or AgentEnvironment()
        self._connections = self._used_connections()
        self._child = pulumi.ResourceOptions(parent=self)

        account = k8s.core.v1.ServiceAccount(
            name, metadata=self._metadata(), automount_service_account_token=False, opts=self._child
        )
        config = self._config()
        ready = [resource for connection in self._connections for resource in connection.ready]
        # What the pods that run live by stays as it is, too, until what they are to use is ready.
        after = pulumi.ResourceOptions(parent=self, depends_on=ready)
        config_map = k8s.core.v1.ConfigMap(name, metadata=self._metadata(), data=config, opts=after)
        secret = self._secret()
        policy = self._network_policy(after)
        # The engine waits for readiness, and readiness needs all of these.
        needs: list[pulumi.Resource] = [account, config_map, policy, *([secret] if secret else []), *ready]
        deployment = self._deployment(config_hash(config), needs)
        self._service()
        if settings.scaling is not None:
            autoscaler(name, settings.scaling, metadata=self._metadata(), target=deployment, opts=self._child)
        k8s.policy.v1.PodDisruptionBudget(
            name,
            metadata=self._metadata(),
            # `minAvailable: 1` would block the drain of a node for ever where there is one replica.
            spec=k8s.policy.v1.PodDisruptionBudgetSpecArgs(
                max_unavailable=1, selector=k8s.meta.v1.LabelSelectorArgs(match_labels=self._selector())
            ),
            opts=self._child,
        )
        self.register_outputs({"service": self.service})

    def _used_connections(self) -> list[Connection]:
        settings, offered = self._settings, self._environment.connections
        used = [kind for kind, wanted in (("redis", settings.uses_redis), ("kafka", settings.uses_kafka)) if wanted]
        missing = [kind for kind in used if kind not in offered]
        if missing:
            raise ValueError(
                f"agent {self._agent} uses {', '.join(missing)}: give AgentEnvironment(connections=...) one for each"
            )
        return [offered[kind] for kind in used]

    def _selector(self) -> dict[str, str]:
        return selector(self._agent, COMPONENT)

    def _labels(self) -> dict[str, str]:
        return labels(self._agent, COMPONENT, image_tag(self._settings.image))

    def _metadata(self) -> k8s.meta.v1.ObjectMetaArgs:
        return k8s.meta.v1.ObjectMetaArgs(
            name=self._agent, namespace=self._environment.namespace.ref, labels=self._labels()
        )

    def _config(self) -> dict[str, str]:
        settings = self._settings
        config = {"AGENT_NAME": self._agent, "PORT": str(settings.port)}
        for connection in self._connections:
            config |= connection.environment
        paths, _, _ = mounted_files(self._connections)
        config |= paths
        if settings.consumes:
            # One group per agent: its pods share the partitions.
            config |= {"KAFKA_CONSUMER_GROUP": self._agent, "KAFKA_CONSUME_TOPICS": ",".join(settings.consumes)}
        if settings.produces:
            config |= {"KAFKA_PRODUCE_TOPICS": ",".join(settings.produces)}
        config |= {f"AGENT_URL_{called.replace('-', '_').upper()}": f"http://{called}" for called in settings.calls}
        return config | settings.env

    def _secret(self) -> k8s.core.v1.Secret | None:
        values = self._own_values()
        if not values:
            return None
        return k8s.core.v1.Secret(self._agent, metadata=self._metadata(), string_data=values, opts=self._child)

    def _own_values(self) -> dict[str, pulumi.Input[str]]:
        own = (key for key, wanted in self._settings.secrets.items() if wanted.existing_secret is None)
        return {key: self._environment.secrets[key] for key in own if key in self._environment.secrets}

    def _secret_variables(self) -> list[k8s.core.v1.EnvVarArgs]:
        variables = []
        for connection in self._connections:
            variables += [secret_variable(key, ref.name, ref.key) for key, ref in connection.secrets.items()]
        for key, wanted in self._settings.secrets.items():
            existing = wanted.existing_secret
            ref = SecretRef(existing.name, existing.key) if existing else SecretRef(self._agent, key)
            needed = wanted.required and self._environment.require_secrets
            variables.append(secret_variable(key, ref.name, ref.key, optional=not needed))
        return variables

    def _deployment(self, hashed: str, needs: list[pulumi.Resource]) -> k8s.apps.v1.Deployment:
        settings, environment = self._settings, self._environment
        pod_labels = self._labels()
        for connection in self._connections:
            pod_labels |= connection.pod_labels
        for called in settings.calls:
            pod_labels |= caller_label(called)
        annotations: dict[str, pulumi.Input[str]] = {CONFIG_HASH: hashed}
        values = self._own_values()
        for connection in self._connections:
            values |= connection.secret_values
        if values:
            # A shortened hash gives nothing away, as long as the secret is no guessable word; pods with a revoked key
            # would be worse.
            annotations[SECRET_HASH] = pulumi.Output.unsecret(pulumi.Output.all(**values).apply(config_hash))
        if settings.metrics is not None and settings.metrics_port is not None:
            annotations |= scrape_annotations(settings.metrics_port, settings.metrics.path)
        ports = [k8s.core.v1.ContainerPortArgs(name="http", container_port=settings.port)]
        if settings.metrics_port not in (None, settings.port):
            ports.append(k8s.core.v1.ContainerPortArgs(name="metrics", container_port=settings.metrics_port))
        _, file_volumes, file_mounts = mounted_files(self._connections)
        pause = int(settings.shutdown.pre_stop.total_seconds())
        container = k8s.core.v1.ContainerArgs(
            name=self._agent,
            image=settings.image,
            args=list(settings.args) or None,
            ports=ports,
            env_from=[
                k8s.core.v1.EnvFromSourceArgs(config_map_ref=k8s.core.v1.ConfigMapEnvSourceArgs(name=self._agent))
            ],
            env=[
                *self._secret_variables(),
                field_variable("POD_NAME", "metadata.name"),
                *(field_variable(key, path) for uses in self._connections for key, path in uses.fields.items()),
            ],
            resources=resource_requirements(settings.resources),
            startup_probe=_probe(settings.probes.startup),
            liveness_probe=_probe(settings.probes.liveness),
            readiness_probe=_probe(settings.probes.readiness),
            # The endpoints still list a pod for a moment after its end began. `sleep` needs no shell in the image;
            # on by default since Kubernetes 1.30.
            lifecycle=k8s.core.v1.LifecycleArgs(
                pre_stop=k8s.core.v1.LifecycleHandlerArgs(sleep=k8s.core.v1.SleepActionArgs(seconds=pause))
            )
            if pause
            else None,
            security_context=container_security(),
            volume_mounts=[k8s.core.v1.VolumeMountArgs(name="scratch", mount_path="/tmp"), *file_mounts],
        )
        pod = k8s.core.v1.PodSpecArgs(
            service_account_name=self._agent,
            automount_service_account_token=False,
            enable_service_links=False,
            image_pull_secrets=[k8s.core.v1.LocalObjectReferenceArgs(name=environment.image_pull_secret)]
            if environment.image_pull_secret
            else None,
            security_context=pod_security(settings.user),
            termination_grace_period_seconds=settings.shutdown.grace_seconds,
            topology_spread_constraints=spread(self._selector()),
            containers=[container],
            volumes=[
                k8s.core.v1.VolumeArgs(
                    name="scratch", empty_dir=k8s.core.v1.EmptyDirVolumeSourceArgs(size_limit=str(settings.scratch))
                ),
                *file_volumes,
            ],
        )
        return k8s.apps.v1.Deployment(
            self._agent,
            metadata=self._metadata(),
            spec=k8s.apps.v1.DeploymentSpecArgs(
                # The autoscaler, where there is one, is the only owner of the number.
                replicas=None if settings.scaling else settings.fixed_replicas,
                selector=k8s.meta.v1.LabelSelectorArgs(match_labels=self._selector()),
                strategy=k8s.apps.v1.DeploymentStrategyArgs(
                    type="RollingUpdate",
                    rolling_update=k8s.apps.v1.RollingUpdateDeploymentArgs(
                        max_surge=f"{MAX_SURGE_PERCENT}%", max_unavailable=0
                    ),
                ),
                template=k8s.core.v1.PodTemplateSpecArgs(
                    metadata=k8s.meta.v1.ObjectMetaArgs(labels=pod_labels, annotations=annotations), spec=pod
                ),
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=needs,
                # A pod may take its whole grace to end: once when deleted, round by round when updated.
                custom_timeouts=pulumi.CustomTimeouts(
                    create="10m",
                    update=f"{20 * 60 + 4 * settings.shutdown.grace_seconds}s",
                    delete=f"{5 * 60 + settings.shutdown.grace_seconds}s",
                ),
            ),
        )

    def _service(self) -> k8s.core.v1.Service:
        return k8s.core.v1.Service(
            self._agent,
            metadata=self._metadata(),
            spec=k8s.core.v1.ServiceSpecArgs(
                selector=self._selector(),
                ports=[k8s.core.v1.ServicePortArgs(name="http", port=80, target_port="http")],
            ),
            opts=self._child,
        )

    def _network_policy(self, opts: pulumi.ResourceOptions) -> k8s.networking.v1.NetworkPolicy:
        settings, environment = self._settings, self._environment
        namespace = environment.namespace
        ingress = [Edge((Peer(namespace.name, caller_label(self._agent)),), (settings.port,))]
        if environment.prometheus is not None and settings.metrics_port is not None:
            ingress.append(Edge((environment.prometheus,), (settings.metrics_port,)))
        if environment.gateway is not None and settings.public is not None:
            ingress.append(Edge((environment.gateway,), (settings.port,)))
        egress = [edge for connection in self._connections for edge in connection.egress]
        for destination in settings.egress:
            peer = Peer(cidr=destination.cidr) if destination.cidr else PUBLIC_INTERNET
            egress.append(Edge((peer,), (destination.port,)))
        if settings.calls:
            # The called agent's policy names its port.
            called = tuple(Peer(namespace.name, selector(name, COMPONENT)) for name in settings.calls)
            egress.append(Edge(called, ()))
        return network_policy(
            self._agent,
            namespace=namespace.ref,
            object_name=self._agent,
            pod_labels=self._selector(),
            ingress=ingress,
            egress=egress,
            opts=opts,
        )


def _probe(probe: Probe) -> k8s.core.v1.ProbeArgs:
    return k8s.core.v1.ProbeArgs(
        http_get=k8s.core.v1.HTTPGetActionArgs(path=probe.path, port="http"),
        initial_delay_seconds=int(probe.initial_delay.total_seconds()) or None,
        period_seconds=int(probe.period.total_seconds()),
        timeout_seconds=int(probe.timeout.total_seconds()),
        failure_threshold=probe.failures,
    )
