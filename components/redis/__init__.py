"""Conversation and checkpoint state: a Redis Cluster in the stack, or the connection to one outside."""
