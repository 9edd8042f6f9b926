"""What an agent reads when it starts: plain variables in a ConfigMap, secrets in a Secret."""

from __future__ import annotations

from collections.abc import Iterator

import pulumi
import pulumi_kubernetes as k8s

from components.connection import SecretRef, mounted_files
from components.pods import secret_variable

from .declaration import Declaration
from .external_secrets import external_name


def fixed_variables(agent: Declaration) -> dict[str, str]:
    """What stays the same while a pod runs."""
    settings = agent.settings
    fixed = {"AGENT_NAME": agent.name, "PORT": str(settings.port)}
    if settings.metrics is not None and settings.metrics.port is not None:
        fixed["METRICS_PORT"] = str(settings.metrics.port)
    return fixed


def plain_variables(agent: Declaration) -> dict[str, str]:
    """The data of the agent's ConfigMap."""
    settings = agent.settings
    config = fixed_variables(agent)
    config["LONGEST_TASK_SECONDS"] = str(int(settings.shutdown.longest_task.total_seconds()))
    for connection in agent.connections:
        config |= connection.environment
    config |= mounted_files(agent.connections).paths
    if settings.consumes:
        # One group per agent: its pods share the partitions.
        config |= {"KAFKA_CONSUMER_GROUP": agent.name, "KAFKA_CONSUME_TOPICS": ",".join(settings.consumes)}
    if settings.produces:
        config |= {"KAFKA_PRODUCE_TOPICS": ",".join(settings.produces)}
    config |= {f"AGENT_URL_{called.replace('-', '_').upper()}": f"http://{called}" for called in settings.calls}
    if settings.resilience is not None:
        config |= settings.resilience.environment()
    return config | settings.env


def own_secrets(agent: Declaration) -> dict[str, pulumi.Input[str]]:
    """The data of the agent's own Secret: the values that the stack was given."""
    own = (key for key, wanted in agent.settings.all_secrets.items() if wanted.configured)
    return {key: agent.environment.secrets[key] for key in own if key in agent.environment.secrets}


def secret_files(agent: Declaration) -> list[k8s.core.v1.VolumeProjectionArgs]:
    """The same secrets as files of their variables' names, for one volume: changes reach it without a new pod."""
    found = []
    for key, ref, optional in _secrets(agent):
        source = k8s.core.v1.SecretProjectionArgs(
            name=ref.name, items=[k8s.core.v1.KeyToPathArgs(key=ref.key, path=key)], optional=optional or None
        )
        found.append(k8s.core.v1.VolumeProjectionArgs(secret=source))
    return found


def secret_variables(agent: Declaration) -> list[k8s.core.v1.EnvVarArgs]:
    """The variables whose values are in Secrets."""
    return [secret_variable(key, ref.name, ref.key, optional=optional) for key, ref, optional in _secrets(agent)]


def _secrets(agent: Declaration) -> Iterator[tuple[str, SecretRef, bool]]:
    """Yield each secret: its variable, where its value is, and whether a pod starts without it."""
    for connection in agent.connections:
        yield from ((key, ref, False) for key, ref in connection.secrets.items())
    for key, wanted in agent.settings.all_secrets.items():
        existing = wanted.existing_secret
        ref = SecretRef(existing.name, existing.key) if existing else SecretRef(agent.name, key)
        if wanted.external is not None:
            ref = SecretRef(external_name(agent), key)
        needed = wanted.required and agent.environment.require_secrets
        yield key, ref, not needed
