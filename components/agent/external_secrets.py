"""Secrets of an agent that the External Secrets operator fetches from a store."""

from __future__ import annotations

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource

from components.workloads import metadata

from .declaration import Declaration


def external_name(agent: Declaration) -> str:
    """The Secret that the operator makes. No agent's name has a dot, so no agent's own Secret has this one."""
    return f"{agent.name}.external"


def external_secret(agent: Declaration, opts: pulumi.ResourceOptions) -> CustomResource | None:
    """Have the operator make one Secret with all `external` secrets of the agent; None where it has none.

    Raises `ValueError` if the environment has no store. https://external-secrets.io/latest/api/externalsecret/
    """
    wanted = {key: secret.external for key, secret in agent.settings.all_secrets.items() if secret.external}
    if not wanted:
        return None
    store = agent.environment.external_secrets
    if store is None:
        raise ValueError(f"agent {agent.name} has external secrets: give AgentEnvironment(external_secrets=...)")
    return CustomResource(
        external_name(agent),
        api_version="external-secrets.io/v1",
        kind="ExternalSecret",
        metadata=metadata(
            external_name(agent),
            agent.environment.namespace,
            agent.labels,
            # Pods wait for the Secret without a word; what the store refuses shows here instead.
            {"pulumi.com/waitFor": "condition=Ready"},
        ),
        spec={
            "refreshInterval": f"{int(store.refresh_interval.total_seconds())}s",
            "secretStoreRef": {"kind": store.kind, "name": store.store},
            # With an entry gone from the store the Secret stays as it is: running agents need it.
            "target": {"name": external_name(agent), "creationPolicy": "Owner", "deletionPolicy": "Retain"},
            "data": [
                {
                    "secretKey": key,
                    "remoteRef": {"key": value.key, **({"property": value.property} if value.property else {})},
                }
                for key, value in wanted.items()
            ],
        },
        opts=opts,
    )
