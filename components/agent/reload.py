"""How configuration and secrets reach an agent's container, and what a changed one does to its pods."""

from __future__ import annotations

from typing import NamedTuple

import pulumi
import pulumi_kubernetes as k8s

from components.pods import config_hash, read_only_mount, variables
from manifests.labels import CONFIG_HASH, SECRET_HASH

from .configuration import fixed_variables, own_secrets, plain_variables, secret_files, secret_variables
from .declaration import Declaration

_CONFIG, _SECRETS = "/etc/agent/config", "/etc/agent/secrets"


class Inputs(NamedTuple):
    """The parts of a pod that hand configuration and secrets to the agent."""

    env_from: list[k8s.core.v1.EnvFromSourceArgs]
    env: list[k8s.core.v1.EnvVarArgs]
    volumes: list[k8s.core.v1.VolumeArgs]
    mounts: list[k8s.core.v1.VolumeMountArgs]
    annotations: dict[str, pulumi.Input[str]]
    """Another value makes other pods."""


def inputs(agent: Declaration) -> Inputs:
    """Return variables, whose change replaces the pods, or files that follow a change, as `reload` says."""
    return _as_files(agent) if agent.settings.reload == "file" else _as_variables(agent)


def _as_variables(agent: Declaration) -> Inputs:
    annotations: dict[str, pulumi.Input[str]] = {CONFIG_HASH: config_hash(plain_variables(agent))}
    values = own_secrets(agent)
    for connection in agent.connections:
        values |= connection.secret_values
    if values:
        # A shortened hash gives nothing away, as long as the secret is no guessable word; pods with a revoked key
        # would be worse.
        annotations[SECRET_HASH] = pulumi.Output.unsecret(pulumi.Output.all(**values).apply(config_hash))
    config = k8s.core.v1.EnvFromSourceArgs(config_map_ref=k8s.core.v1.ConfigMapEnvSourceArgs(name=agent.name))
    return Inputs([config], secret_variables(agent), [], [], annotations)


def _as_files(agent: Declaration) -> Inputs:
    # Whole volumes: the kubelet renews their files, never those mounted by subPath.
    config = k8s.core.v1.VolumeArgs(name="config", config_map=k8s.core.v1.ConfigMapVolumeSourceArgs(name=agent.name))
    volumes, mounts = [config], [read_only_mount("config", _CONFIG)]
    if sources := secret_files(agent):
        projected = k8s.core.v1.ProjectedVolumeSourceArgs(sources=sources)
        volumes.append(k8s.core.v1.VolumeArgs(name="secrets", projected=projected))
        mounts.append(read_only_mount("secrets", _SECRETS))
    return Inputs([], variables(fixed_variables(agent)), volumes, mounts, {})
