"""Conversation and checkpoint state: a Redis Cluster in the stack, or the connection to one outside."""

from .cluster import RedisCluster
from .connection import external

__all__ = ["RedisCluster", "external"]
