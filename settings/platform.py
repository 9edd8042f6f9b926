"""Settings of the whole stack: its safeguards, its namespaces and its gateway."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from manifests.problems import Problem

from .approvals import ApprovedReplacement
from .model import Amounts, Model, Resources, Section, uncovered
from .network import NetworkSettings
from .placement import PROVIDER_POOLS, NodeProvider, Pool
from .secrets import ExternalSecrets
from .types import DnsLabel, DnsSubdomain, HostName, NamespaceName, PoolName


class Safeguards(Model):
    """What the stack refuses or protects. All on by default; a throw-away environment turns them off."""

    protect_data: bool = True
    """Protect and retain namespaces, stateful sets and passwords: `pulumi destroy` refuses to delete them."""
    require_secrets: bool = True
    """Refuse to deploy while a secret that an agent requires is not given."""
    accept: tuple[str, ...] = ()
    """Changes that would lose data and that somebody has prepared (docs/data.md), as the refusal names them, such as
    `redis.shards: 4 -> 3`. Remove them after the `up`: the same change would be let through again."""
    approved_replacements: tuple[ApprovedReplacement, ...] = ()
    """What `agentstack diff` may find destroyed and still succeed (docs/data.md). The engine does not look at it."""


class Keda(Model):
    """KEDA, which scales agents by their queues; the cluster has it already. https://keda.sh"""

    namespace: DnsLabel = "keda"
    """The namespace of its operator, which asks Kafka and Redis: only its pods there are let through."""


class PlatformSettings(Section):
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
    node_provider: NodeProvider | None = None
    """Who makes the nodes: gives `placement.pool` the names `spot` and `onDemand`."""
    pools: dict[PoolName, Pool] = {}
    """Kinds of nodes by name, beside or instead of the provider's: `gpu: {labels: {example.com/pool: gpu}}`."""
    external_secrets: ExternalSecrets | None = None
    """The External Secrets operator (0.16 or newer), if the cluster has it: agents' secrets may then be `external`."""
    network: NetworkSettings = NetworkSettings()

    @property
    def all_pools(self) -> dict[str, Pool]:
        """The pools that agents may name."""
        return {**(PROVIDER_POOLS[self.node_provider] if self.node_provider else {}), **self.pools}


class Quota(Model):
    """The ResourceQuota of a namespace."""

    requests: Amounts
    limits: Amounts
    pods: int = Field(default=100, ge=1)
    """Pods that are not finished, at most."""

    def problems(self) -> Iterator[Problem]:
        """Limits cover requests."""
        return uncovered(self.requests, self.limits)


def _quota(cpu: str, memory: str, cpu_limit: str, memory_limit: str, pods: int) -> Quota:
    amounts = Resources.of(cpu, memory, cpu_limit, memory_limit)
    return Quota(requests=amounts.requests, limits=amounts.limits, pods=pods)


class NamespaceSettings(Model):
    """One namespace: its name, its quota, and what a container gets that asks for nothing."""

    name: NamespaceName
    quota: Quota
    container_defaults: Resources = Resources.of("50m", "64Mi", "500m", "256Mi")
    """The LimitRange: requests and limits of a container that sets none."""


class NamespacesSettings(Section):
    """The four namespaces of the stack."""

    agents: NamespaceSettings = NamespaceSettings(name="agents", quota=_quota("64", "128Gi", "128", "256Gi", 500))
    data: NamespaceSettings = NamespaceSettings(name="data", quota=_quota("16", "64Gi", "32", "96Gi", 50))
    observability: NamespaceSettings = NamespaceSettings(
        name="observability", quota=_quota("4", "16Gi", "8", "32Gi", 30)
    )
    collectors: NamespaceSettings = NamespaceSettings(name="collectors", quota=_quota("8", "16Gi", "16", "32Gi", 200))
    """Node-level collectors: they read the host, so this namespace alone is `privileged` in Pod Security terms."""

    def problems(self) -> Iterator[Problem]:
        """Their names differ."""
        first: dict[str, str] = {}
        for key in type(self).model_fields:
            name = getattr(self, key).name
            if (other := first.setdefault(name, key)) != key:
                yield Problem((key, "name"), f"`{name}` is the name of `{other}` already", "give it a name of its own")


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


class GatewayParent(Model):
    """An existing Gateway of the Gateway API (gateway.networking.k8s.io/v1), which must admit routes of the agents'
    namespace."""

    name: DnsSubdomain
    namespace: DnsLabel
    section_name: DnsSubdomain | None = None
    """The one of its listeners that routes attach to; all that fit if absent."""
    https: bool = True
    """Whether that listener serves TLS, which is the Gateway's affair; for the agents' URLs."""


class GatewaySettings(Section):
    """The way in from outside: an Ingress of the class that the cluster's controller serves, or HTTPRoutes."""

    enabled: bool = True
    api: Literal["ingress", "gateway-api"] = "ingress"
    """`gateway-api`: an HTTPRoute per public agent, whose weights divide the requests exactly during a canary release.
    Needs the Gateway API's definitions in the cluster, and a Gateway."""
    parent: GatewayParent | None = None
    """The Gateway that the routes belong to; set if, and only if, `api` is `gateway-api`."""
    ingress_class: DnsLabel = "traefik"
    host: HostName | None = None
    """The host of public agents that name none."""
    tls: GatewayTls | None = None
    """Absent: plain HTTP."""
    annotations: dict[str, str] = {}
    """Annotations that the controller understands (rate limits, authentication, timeouts)."""
    controller: GatewayController = GatewayController()

    def problems(self) -> Iterator[Problem]:
        """What belongs to one API is not set with the other."""
        if (self.api == "gateway-api") != (self.parent is not None):
            yield Problem(("parent",), "set it with `api: gateway-api`, and only then")
        if self.api == "gateway-api" and self.tls is not None:
            what = "the listener of the Gateway has the certificate"
            yield Problem(("tls",), what, "remove `tls`, see `parent.https`")
