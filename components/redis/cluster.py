"""A Redis Cluster: its nodes, its network, its password, and the keeper that joins and heals them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random

from components.connection import Connection, SecretRef
from components.labels import labels, selector
from components.namespaces import Namespace
from components.network import Edge, Peer, network_policy
from components.pods import claim
from settings import RedisSettings
from settings.types import image_tag

from .connection import environment
from .pods import BUS_PORT, FILES, KEEPER, METRICS_PORT, NODE, PORT, image_of, keeper_template, node_template

_CLIENT = {"agentstack.dev/redis": "true"}


class RedisCluster(pulumi.ComponentResource):
    """A Redis Cluster of `spec.shards` masters with `spec.replicas_per_shard` replicas each.

    Agents reach it through `connection`. A write is acknowledged once it is in the master's memory; it reaches the
    disk within a second and the replicas within milliseconds, so a master's sudden death may cost what it acknowledged
    in that time. With two or more replicas a shard, a master that has heard from none of them for 10 s refuses writes
    (`min-replicas-to-write 1`), which bounds the loss of a network partition too. With one it does not: the restart of
    that one replica would stop the shard's writes.

    The nodes know each other by address, and pods get new ones. redis-keeper introduces them to each other, at first
    and whenever they come back; it is ready while the cluster is whole.

    With `protect`, the engine refuses to delete nodes and password, and the claims outlive the StatefulSet.
    """

    connection: Connection

    def __init__(
        self,
        name: str,
        spec: RedisSettings,
        *,
        namespace: Namespace,
        agents: Namespace,
        observability: Namespace,
        cluster_domain: str = "cluster.local",
        storage_class: str | None = None,
        protect: bool = True,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("agentstack:data:RedisCluster", name, None, opts)
        self._spec = spec
        self._namespace = namespace
        self._keep_data = protect
        self._domain = f"{namespace.name}.svc.{cluster_domain}"
        self._child = pulumi.ResourceOptions(parent=self)

        password = random.RandomPassword(
            "redis-password",
            length=32,
            special=False,
            opts=pulumi.ResourceOptions(parent=self, protect=protect, retain_on_delete=protect),
        ).result
        conf = pulumi.Output.format("requirepass {0}\nmasterauth {0}\n", password)
        auth = self._secret("redis-auth", namespace, {"password": password, "auth.conf": conf})
        host = f"redis.{self._domain}"
        # redis-cli takes an empty user for a user whose name is empty; `default` is what every client understands.
        url = pulumi.Output.format("redis://default:{0}@{1}:{2}", password, host, PORT)
        connection = self._secret("redis-connection", agents, {"REDIS_URL": url})

        config = k8s.core.v1.ConfigMap("redis", metadata=self._metadata("redis"), data=FILES, opts=self._child)
        policies = self._policies(agents, observability)
        self._nodes(config.metadata.name, auth.metadata.name, storage_class)
        keeper = self._keeper(config.metadata.name, auth.metadata.name, after=policies)

        self.connection = Connection(
            environment=environment(spec, host, PORT),
            secrets={"REDIS_URL": SecretRef("redis-connection", "REDIS_URL")},
            pod_labels=_CLIENT,
            egress=(Edge((Peer(namespace.name, NODE),), (PORT,)),),
            ready=(keeper, connection),
        )
        self.register_outputs({})

    @property
    def _headless_domain(self) -> str:
        return f"redis-headless.{self._domain}"

    def _metadata(self, name: str, component: str = "state") -> k8s.meta.v1.ObjectMetaArgs:
        version = image_tag(image_of(self._spec))
        return k8s.meta.v1.ObjectMetaArgs(
            name=name, namespace=self._namespace.ref, labels=labels("redis", component, version)
        )

    def _secret(self, name: str, namespace: Namespace, data: Mapping[str, pulumi.Input[str]]) -> k8s.core.v1.Secret:
        return k8s.core.v1.Secret(
            name,
            metadata=k8s.meta.v1.ObjectMetaArgs(name=name, namespace=namespace.ref, labels=labels("redis", "state")),
            string_data=data,
            opts=self._child,
        )

    def _policies(self, agents: Namespace, observability: Namespace) -> list[k8s.networking.v1.NetworkPolicy]:
        nodes = Peer(self._namespace.name, NODE)
        keeper = Peer(self._namespace.name, KEEPER)
        clients = Peer(agents.name, _CLIENT)
        prometheus = Peer(observability.name, selector("prometheus", "metrics"))
        # The bus knows no password: none but the nodes may reach it.
        among_nodes = Edge((nodes,), (PORT, BUS_PORT))
        return [
            network_policy(
                "redis",
                namespace=self._namespace.ref,
                object_name="redis",
                pod_labels=NODE,
                ingress=[among_nodes, Edge((keeper, clients), (PORT,)), Edge((prometheus,), (METRICS_PORT,))],
                egress=[among_nodes],
                opts=self._child,
            ),
            network_policy(
                "redis-keeper",
                namespace=self._namespace.ref,
                object_name="redis-keeper",
                pod_labels=KEEPER,
                egress=[Edge((nodes,), (PORT,))],
                opts=self._child,
            ),
        ]

    def _nodes(self, config: pulumi.Input[str], auth: pulumi.Input[str], storage_class: str | None) -> None:
        headless = k8s.core.v1.Service(
            "redis-headless",
            metadata=self._metadata("redis-headless"),
            spec=k8s.core.v1.ServiceSpecArgs(
                cluster_ip="None",
                # The keeper needs the names of nodes that are not ready: those it heals.
                publish_not_ready_addresses=True,
                selector=NODE,
                ports=[_service_port("redis", PORT), _service_port("bus", BUS_PORT)],
            ),
            opts=self._child,
        )
        k8s.core.v1.Service(
            "redis",
            metadata=self._metadata("redis"),
            spec=k8s.core.v1.ServiceSpecArgs(selector=NODE, ports=[_service_port("redis", PORT)]),
            opts=self._child,
        )
        selected = k8s.meta.v1.LabelSelectorArgs(match_labels=NODE)
        k8s.policy.v1.PodDisruptionBudget(
            "redis",
            metadata=self._metadata("redis"),
            spec=k8s.policy.v1.PodDisruptionBudgetSpecArgs(max_unavailable=1, selector=selected),
            opts=self._child,
        )
        k8s.apps.v1.StatefulSet(
            "redis",
            metadata=self._metadata("redis"),
            spec=k8s.apps.v1.StatefulSetSpecArgs(
                replicas=self._spec.nodes,
                service_name=headless.metadata.name,
                pod_management_policy="Parallel",
                update_strategy=k8s.apps.v1.StatefulSetUpdateStrategyArgs(type="RollingUpdate"),
                selector=selected,
                template=node_template(self._spec, self._headless_domain, config, auth),
                volume_claim_templates=[claim(str(self._spec.storage), storage_class, NODE)],
                persistent_volume_claim_retention_policy=(
                    k8s.apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicyArgs(
                        when_deleted="Retain" if self._keep_data else "Delete", when_scaled="Retain"
                    )
                ),
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=self._keep_data,
                retain_on_delete=self._keep_data,
                # An update takes the nodes one by one.
                custom_timeouts=pulumi.CustomTimeouts(create="10m", update="30m"),
            ),
        )

    def _keeper(
        self, config: pulumi.Input[str], auth: pulumi.Input[str], *, after: Sequence[pulumi.Resource]
    ) -> k8s.apps.v1.Deployment:
        return k8s.apps.v1.Deployment(
            "redis-keeper",
            metadata=self._metadata("redis-keeper", "keeper"),
            spec=k8s.apps.v1.DeploymentSpecArgs(
                replicas=1,
                # Never two at once: each would run what the other has just run.
                strategy=k8s.apps.v1.DeploymentStrategyArgs(type="Recreate"),
                # Its readiness is the cluster's: as long as an update of the nodes may take.
                progress_deadline_seconds=30 * 60,
                selector=k8s.meta.v1.LabelSelectorArgs(match_labels=KEEPER),
                template=keeper_template(self._spec, self._headless_domain, config, auth),
            ),
            # Not after the nodes: those of kept claims become ready only once the keeper has healed them.
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=after, custom_timeouts=pulumi.CustomTimeouts(create="10m", update="30m")
            ),
        )


def _service_port(name: str, port: int) -> k8s.core.v1.ServicePortArgs:
    return k8s.core.v1.ServicePortArgs(name=name, port=port, target_port=name)
