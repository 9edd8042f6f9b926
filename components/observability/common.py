"""What the parts of the room share: their files and metadata, and where Prometheus connects from."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.context import Namespace, StackNamespaces
from components.labels import labels, selector
from components.network import Peer
from components.versions import Image
from components.workloads import metadata, service

CONFIG = pathlib.Path(__file__).parent / "config"

# Pulling an image of some hundred MiB on a fresh node included.
TIMEOUTS = pulumi.CustomTimeouts(create="10m", update="10m", delete="10m")


@dataclass(frozen=True)
class Program:
    """One program: its name, which its objects bear too, its role, its namespace, its port and its image."""

    name: str
    component: str
    namespace: Namespace
    port: int
    image: Image

    def metadata(self) -> k8s.meta.v1.ObjectMetaArgs:
        """The metadata of its objects."""
        return metadata(self.name, self.namespace, self.labels())

    def labels(self) -> dict[str, str]:
        """All labels."""
        return labels(self.name, self.component, self.image.version)

    def selector(self) -> dict[str, str]:
        """The labels that select its pods."""
        return selector(self.name, self.component)

    def peer(self) -> Peer:
        """Its pods as one side of a connection."""
        return Peer(self.namespace.name, self.selector())

    def container_port(self) -> k8s.core.v1.ContainerPortArgs:
        """Its port, under the name `http`."""
        return k8s.core.v1.ContainerPortArgs(name="http", container_port=self.port)

    def service(self, opts: pulumi.ResourceOptions) -> k8s.core.v1.Service:
        """A Service with its name, on the same port."""
        return service(self.name, self.metadata(), self.selector(), {"http": self.port}, opts=opts)


def cluster_name(namespaces: StackNamespaces, name: str) -> str:
    """The name of a cluster-scoped object: two stacks in one cluster must not share it."""
    return f"agentstack-{namespaces.observability.name}-{name}"


def grant(
    role: k8s.rbac.v1.ClusterRole,
    account: k8s.core.v1.ServiceAccount,
    *,
    part: Program,
    namespaces: StackNamespaces,
    opts: pulumi.ResourceOptions,
) -> None:
    """Bind `role` to `account` in the four namespaces of the stack, and nowhere else."""
    for key, namespace in namespaces.all.items():
        k8s.rbac.v1.RoleBinding(
            f"{part.name}-{key}",
            metadata=metadata(part.name, namespace, part.labels()),
            role_ref=k8s.rbac.v1.RoleRefArgs(
                api_group="rbac.authorization.k8s.io", kind="ClusterRole", name=role.metadata.name
            ),
            subjects=[subject(account, part)],
            opts=opts,
        )


def subject(account: k8s.core.v1.ServiceAccount, part: Program) -> k8s.rbac.v1.SubjectArgs:
    """The account of `part` as the subject of a binding."""
    return k8s.rbac.v1.SubjectArgs(kind="ServiceAccount", name=account.metadata.name, namespace=part.namespace.ref)


def files(name: str, config_map: k8s.core.v1.ConfigMap, paths: dict[str, str]) -> k8s.core.v1.VolumeArgs:
    """A volume with the keys of `config_map` at `paths`, which maps a key to the path of its file."""
    return k8s.core.v1.VolumeArgs(
        name=name,
        config_map=k8s.core.v1.ConfigMapVolumeSourceArgs(
            name=config_map.metadata.name,
            items=[k8s.core.v1.KeyToPathArgs(key=key, path=path) for key, path in paths.items()],
        ),
    )
