"""Conversations, checkpoints and locks: what outlives a pod. In Redis, or in the process for tests and local runs."""

from agentstack_runtime.errors import Unavailable

from .protocol import Changes, Conflict, Fenced, Lease, State, Versioned

__all__ = ["Changes", "Conflict", "Fenced", "Lease", "State", "Unavailable", "Versioned"]
