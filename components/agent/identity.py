"""The ServiceAccount of an agent."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as k8s

from .declaration import Declaration


def service_account(agent: Declaration, opts: pulumi.ResourceOptions) -> k8s.core.v1.ServiceAccount:
    """Who the agent is. Its pods alone decide whether they mount a token."""
    identity, metadata = agent.settings.identity, agent.metadata
    metadata.annotations = {**identity.account_annotations(), **identity.annotations} or None
    return k8s.core.v1.ServiceAccount(agent.name, metadata=metadata, automount_service_account_token=False, opts=opts)
