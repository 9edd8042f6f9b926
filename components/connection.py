"""How agents reach what they use: one shape for parts of the stack and for external services."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from .network import Edge


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
    pod_labels: Mapping[str, str] = field(default_factory=dict)
    """Labels that let a pod through the NetworkPolicy of the other end."""
    egress: tuple[Edge, ...] = ()
    """Where the agent may open connections to."""
    ready: tuple[pulumi.Resource, ...] = ()
    """What must stand before an agent that uses the connection can become ready."""
