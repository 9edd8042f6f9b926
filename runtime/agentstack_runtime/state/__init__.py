"""Conversations, checkpoints and locks: what outlives a pod. In Redis, or in the process for tests and local runs."""

from agentstack_runtime.errors import Unavailable

from .protocol import JSON, Changes, Conflict, Fenced, Lease, State, Versioned
from .update import update

__all__ = ["JSON", "Changes", "Conflict", "Fenced", "Lease", "State", "Unavailable", "Versioned", "update"]
