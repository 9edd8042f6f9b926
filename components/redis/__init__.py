"""Conversation and checkpoint state: a Redis Cluster in the stack, or the connection to one outside."""

from .cluster import RedisCluster
from .external import external, preflight

__all__ = ["RedisCluster", "external", "preflight"]
