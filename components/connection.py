"""How agents reach what they use: one shape for parts of the stack and for external services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pulumi
import pulumi_kubernetes as k8s

from .network import NetworkEdge
from .pods import read_only_mount, secret_files

_FILES_DIR = "/etc/agentstack"
_FOLDERS_DIR = "/etc/agent"


@dataclass(frozen=True)
class SecretRef:
    """One key of a Secret in the agents' namespace."""

    name: str
    key: str


@dataclass(frozen=True)
class Connection:
    """Everything that an agent needs to use one thing, such as Redis.

    Whoever serves it makes one of these; the agent component turns it into environment, secret references,
    labels and NetworkPolicy, without knowing whether the other end runs in the stack.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    """Plain environment variables."""
    secrets: Mapping[str, SecretRef] = field(default_factory=dict)
    """Environment variables whose values are in Secrets."""
    secret_values: Mapping[str, pulumi.Input[str]] = field(default_factory=dict, repr=False)
    """Those values, as far as the stack makes them: pods roll when they change."""
    files: Mapping[str, SecretRef] = field(default_factory=dict)
    """Environment variables that hold the path of a file with a Secret's value, such as a certificate authority's."""
    folders: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that hold the path of a folder with all files of the ConfigMap of this name. A change
    reaches pods within about a minute, and replaces none."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that hold a field of the pod itself, by its path."""
    login: Mapping[str, SecretRef] = field(default_factory=dict)
    """`username` and `password` where `secrets` hold them in a URL only: KEDA wants them apart."""
    pod_labels: Mapping[str, str] = field(default_factory=dict)
    """Labels that let a pod through the NetworkPolicy of the other end."""
    egress: tuple[NetworkEdge, ...] = ()
    """Where the agent may open connections to."""
    devices: Mapping[str, int] = field(default_factory=dict)
    """Extended resources that the agent's own process needs, such as `nvidia.com/gpu`."""
    ready: tuple[pulumi.Resource, ...] = ()
    """What must stand before an agent that uses the connection can become ready."""


class MountedFiles(NamedTuple):
    """How the files of connections get into a container."""

    paths: dict[str, str]
    """Environment variables with their paths."""
    volumes: list[k8s.core.v1.VolumeArgs]
    mounts: list[k8s.core.v1.VolumeMountArgs]


def mounted_files(connections: Sequence[Connection]) -> MountedFiles:
    """Return the variables, volumes and mounts of the connections' files, a folder a Secret or ConfigMap.

    Of Secrets the named keys alone; ConfigMaps as a whole: the kubelet renews no file that is mounted by itself.
    """
    keys: dict[str, set[str]] = {}
    paths: dict[str, str] = {}
    for connection in connections:
        for variable, ref in connection.files.items():
            keys.setdefault(ref.name, set()).add(ref.key)
            paths[variable] = f"{_FILES_DIR}/{ref.name}/{ref.key}"
    volumes = [
        secret_files(f"connection-{number}", secret, sorted(wanted))
        for number, (secret, wanted) in enumerate(keys.items())
    ]
    mounts = [read_only_mount(f"connection-{number}", f"{_FILES_DIR}/{secret}") for number, secret in enumerate(keys)]
    folders = {variable: name for connection in connections for variable, name in connection.folders.items()}
    for variable, name in folders.items():
        paths[variable] = f"{_FOLDERS_DIR}/{name}"
        source = k8s.core.v1.ConfigMapVolumeSourceArgs(name=name)
        volumes.append(k8s.core.v1.VolumeArgs(name=name, config_map=source))
        mounts.append(read_only_mount(name, paths[variable]))
    return MountedFiles(paths, volumes, mounts)
