"""Settings of the whole stack: its safeguards, its namespaces and its gateway."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from .model import Amounts, Model, Resources
from .types import DnsLabel, DnsSubdomain, HostName, NamespaceName


class Safeguards(Model):
    """What the stack refuses or protects. All on by default; a throw-away environment turns them off."""

    protect_data: bool = True
    """Protect and retain namespaces, stateful sets and passwords: `pulumi destroy` refuses to delete them."""
    require_secrets: bool = True
    """Refuse to deploy while a secret that an agent requires is not given."""
    accept: tuple[str, ...] = ()
    """Changes that would lose data and that somebody has prepared (docs/data.md), as the refusal names them, such as
    `redis.shards: 4 -> 3`. Remove them after the `up`: the same change would be let through again."""


class Keda(Model):
    """KEDA, which scales agents by their queues; the cluster has it already. https://keda.sh"""

    namespace: DnsLabel = "keda"
    """The namespace of its operator, which asks Kafka and Redis: only its pods there are let through."""


class PlatformSettings(Model):
    """Settings that every part of the stack shares."""

    kube_context: str | None = None
    """The context of the kubeconfig that `pulumi up` deploys to; the current one if absent. Name it wherever a
    wrong cluster would hurt."""
    cluster_domain: HostName = "cluster.local"
    """The DNS domain of the cluster."""
    storage_class: DnsSubdomain | None = None
    """The StorageClass of every claim; the cluster's default class if absent. Fixed once there is data."""
    image_pull_secret: DnsSubdomain | None = None
    """An existing Secret of type `kubernetes.io/dockerconfigjson` in the agents' namespace."""
    keda: Keda | None = None
    """Whether the cluster has KEDA (2.17 or newer), and where; absent: agents cannot scale by a `queue`."""
    safeguards: Safeguards = Safeguards()


class Quota(Model):
    """The ResourceQuota of a namespace."""

    requests: Amounts
    limits: Amounts
    pods: int = Field(default=100, ge=1)
    """Pods that are not finished, at most."""

    @model_validator(mode="after")
    def _limits_cover_requests(self) -> Self:
        Resources(requests=self.requests, limits=self.limits)
        return self


def _quota(cpu: str, memory: str, cpu_limit: str, memory_limit: str, pods: int) -> Quota:
    amounts = Resources.of(cpu, memory, cpu_limit, memory_limit)
    return Quota(requests=amounts.requests, limits=amounts.limits, pods=pods)


class NamespaceSettings(Model):
    """One namespace: its name, its quota, and what a container gets that asks for nothing."""

    name: NamespaceName
    quota: Quota
    container_defaults: Resources = Resources.of("50m", "64Mi", "500m", "256Mi")
    """The LimitRange: requests and limits of a container that sets none."""


class NamespacesSettings(Model):
    """The four namespaces of the stack."""

    agents: NamespaceSettings = NamespaceSettings(name="agents", quota=_quota("64", "128Gi", "128", "256Gi", 500))
    data: NamespaceSettings = NamespaceSettings(name="data", quota=_quota("16", "64Gi", "32", "96Gi", 50))
    observability: NamespaceSettings = NamespaceSettings(
        name="observability", quota=_quota("4", "16Gi", "8", "32Gi", 30)
    )
    collectors: NamespaceSettings = NamespaceSettings(name="collectors", quota=_quota("8", "16Gi", "16", "32Gi", 200))
    """Node-level collectors: they read the host, so this namespace alone is `privileged` in Pod Security terms."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [self.agents.name, self.data.name, self.observability.name, self.collectors.name]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two namespaces are named `{name}`: give each a name of its own")
        return self


class GatewayTls(Model):
    """Where the certificate of the gateway comes from."""

    secret_name: DnsSubdomain = "gateway-tls"
    """The Secret of type `kubernetes.io/tls`, in the agents' namespace."""
    cluster_issuer: DnsLabel | None = None
    """The cert-manager ClusterIssuer that fills the Secret; absent: the Secret exists already."""


class GatewayController(Model):
    """The ingress controller's pods: only they may open connections to public agents."""

    namespace: DnsLabel = "traefik"
    pod_labels: dict[str, str] = {}
    """Labels that narrow the pods in that namespace; all of them if empty."""


class GatewaySettings(Model):
    """The way in from outside: an Ingress of the class that the cluster's controller serves."""

    enabled: bool = True
    ingress_class: DnsLabel = "traefik"
    host: HostName | None = None
    """The host of public agents that name none."""
    tls: GatewayTls | None = None
    """Absent: plain HTTP."""
    annotations: dict[str, str] = {}
    """Annotations that the controller understands (rate limits, authentication, timeouts)."""
    controller: GatewayController = GatewayController()
