"""A Redis Cluster: its nodes, its network, its users, and the keeper that joins and heals them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random

from components.certificates import CertificateSecret, certificates
from components.connection import Connection, SecretRef
from components.context import Context, Namespace, Offer
from components.labels import labels
from components.network import NetworkEdge, Peer, edges_from, network_policy
from components.workloads import metadata
from settings import RedisSettings, Settings

from .backup import backup
from .common import (
    ACL_FILE,
    BUS_PORT,
    CLIENT_LABELS,
    EXPORTER_PASSWORD,
    KEEPER,
    NODE,
    OPERATOR_PASSWORD,
    PORT,
    REPLICATION_FILE,
    Sources,
    domain,
    node_domain,
    object_metadata,
)
from .connection import environment
from .external import external, preflight
from .keeper import CONFIG_FILES as KEEPER_FILES
from .keeper import keeper
from .nodes import CONFIG_FILES as NODE_FILES
from .nodes import nodes
from .part import METRICS_PORT
from .users import EXPORTER, OPERATOR, REPLICA, SYSTEM_RIGHTS, acl_file, agent_rights


class RedisCluster(pulumi.ComponentResource):
    """A Redis Cluster of `spec.shards` masters with `spec.replicas_per_shard` replicas each.

    Each of the context's agents that uses Redis is a user of its own, limited to its keys, and reaches it through
    `connections`. Where some of them scale by a list or a stream, KEDA asks for its length in their name.

    A write is acknowledged once it is in the master's memory; it reaches the disk within a second and the replicas
    within milliseconds, so a master's sudden death may cost what it acknowledged in that time. With two or more
    replicas a shard, a master that has heard from none of them for 10 s refuses writes (`min-replicas-to-write 1`),
    which bounds the loss of a network partition too. With one it does not: the restart of that one replica would stop
    the shard's writes.

    The nodes know each other by address, and pods get new ones. redis-keeper introduces them to each other, at first
    and whenever they come back; it is ready while the cluster is whole.

    Where data is protected, the engine refuses to delete the nodes and the passwords that they share, and the claims
    outlive the StatefulSet.
    """

    connections: Mapping[str, Connection]
    """How each agent that uses Redis reaches it, by its name."""

    def __init__(
        self,
        name: str,
        spec: RedisSettings,
        context: Context,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("agentstack:data:RedisCluster", name, None, opts)
        self._spec = spec
        self._context = context
        self._namespace = context.namespaces.data
        self._host = f"redis.{domain(context)}"
        self._child = pulumi.ResourceOptions(parent=self)

        users = {agent: settings for agent, settings in context.agents.items() if "redis" in settings.used_parts}
        passwords = {user: self._password(user, keep=context.protect) for user in SYSTEM_RIGHTS}
        passwords |= {agent: self._password(agent, keep=False) for agent in users}
        rights = SYSTEM_RIGHTS | {agent: agent_rights(settings.redis_keys) for agent, settings in users.items()}
        auth = self._secret(
            "redis-auth",
            self._namespace,
            {
                ACL_FILE: pulumi.Output.all(**passwords).apply(lambda known: acl_file(rights, known)),
                REPLICATION_FILE: pulumi.Output.format("masteruser {0}\nmasterauth {1}\n", REPLICA, passwords[REPLICA]),
                OPERATOR_PASSWORD: passwords[OPERATOR],
                EXPORTER_PASSWORD: passwords[EXPORTER],
            },
        )
        tls = self._certificates()
        config = k8s.core.v1.ConfigMap(
            "redis",
            metadata=object_metadata("redis", spec, self._namespace),
            data={**NODE_FILES, **KEEPER_FILES},
            opts=self._child,
        )
        sources = Sources(config.metadata.name, auth.metadata.name, tls.name if tls else None)
        made_before = tls.resources if tls else ()
        asked = {agent for agent, client in context.agents.items() if client.queue and client.queue.redis_key}
        policies = self._policies(context.keda if asked else None)
        nodes(spec, context, sources=sources, parent=self, depends_on=made_before)
        healer = keeper(spec, context, sources=sources, parent=self, depends_on=[*policies, *made_before])
        if spec.backup is not None:
            backup(
                spec,
                spec.backup,
                context,
                address=f"{self._host}:{PORT}",
                auth=auth.metadata.name,
                certificates=tls.name if tls else None,
                parent=self,
            )
        self.connections = {
            agent: self._connection(agent, passwords[agent], tls, asked=agent in asked, ready=(healer, *made_before))
            for agent in users
        }
        self.register_outputs({})

    def _password(self, user: str, *, keep: bool) -> pulumi.Output[str]:
        return random.RandomPassword(
            f"redis-{user}",
            length=32,
            special=False,
            opts=pulumi.ResourceOptions(parent=self, protect=keep, retain_on_delete=keep),
        ).result

    def _certificates(self) -> CertificateSecret | None:
        if self._spec.tls is None:
            return None
        # The agents' names for the Service and for the nodes, and the name by which the pod's own containers call it.
        names = [self._host, f"*.{node_domain(self._context)}", "localhost"]
        agents = self._context.namespaces.agents
        return certificates(
            "redis", self._spec.tls, namespace=self._namespace, agents=agents, dns_names=names, opts=self._child
        )

    def _connection(
        self,
        agent: str,
        password: pulumi.Output[str],
        tls: CertificateSecret | None,
        *,
        asked: bool,
        ready: Sequence[pulumi.Resource],
    ) -> Connection:
        host = self._host
        url = pulumi.Output.format("{0}://{1}:{2}@{3}:{4}", "rediss" if tls else "redis", agent, password, host, PORT)
        # A dot cannot be in an agent's name: no Secret of an agent's own is called so.
        name = f"{agent}.redis"
        login: dict[str, pulumi.Input[str]] = {"username": agent, "password": password} if asked else {}
        secret = self._secret(name, self._context.namespaces.agents, {"REDIS_URL": url, **login})
        return Connection(
            environment=environment(self._spec, host, PORT),
            secrets={"REDIS_URL": SecretRef(name, "REDIS_URL")},
            secret_values={"REDIS_URL": url},
            login={part: SecretRef(name, part) for part in login},
            files={"REDIS_CA_FILE": SecretRef(tls.name, "ca.crt")} if tls else {},
            pod_labels=CLIENT_LABELS,
            egress=(NetworkEdge((Peer(self._namespace.name, NODE),), (PORT,)),),
            ready=(*ready, secret),
        )

    def _secret(self, name: str, namespace: Namespace, data: Mapping[str, pulumi.Input[str]]) -> k8s.core.v1.Secret:
        return k8s.core.v1.Secret(
            name,
            metadata=metadata(name, namespace, labels("redis", "state")),
            string_data=data,
            opts=self._child,
        )

    def _policies(self, keda: Peer | None) -> list[k8s.networking.v1.NetworkPolicy]:
        nodes = Peer(self._namespace.name, NODE)
        keeper = Peer(self._namespace.name, KEEPER)
        clients = Peer(self._context.namespaces.agents.name, CLIENT_LABELS)
        asking = (keeper, clients, *([keda] if keda else []))
        # The bus knows no password: none but the nodes may reach it, with TLS or without.
        among_nodes = NetworkEdge((nodes,), (PORT, BUS_PORT))
        return [
            network_policy(
                "redis",
                namespace=self._namespace.ref,
                pod_labels=NODE,
                ingress=[
                    among_nodes,
                    NetworkEdge(asking, (PORT,)),
                    *edges_from(self._context.prometheus, METRICS_PORT),
                ],
                egress=[among_nodes],
                opts=self._child,
            ),
            network_policy(
                "redis-keeper",
                namespace=self._namespace.ref,
                pod_labels=KEEPER,
                egress=[NetworkEdge((nodes,), (PORT,))],
                opts=self._child,
            ),
        ]


def build(settings: Settings, context: Context, opts: pulumi.ResourceOptions) -> Offer:
    """Offer each agent its connection to Redis, in the stack or outside."""
    spec = settings.redis
    if spec.external is None:
        return Offer(connections=RedisCluster("redis", spec, context, opts).connections)
    tried = None
    if spec.external.preflight:
        namespace = context.namespaces.agents
        tried = preflight("redis", spec, clients=context.agents, namespace=namespace, opts=opts)
    return Offer(connections=dict.fromkeys(context.agents, external(spec, preflight=tried)))
