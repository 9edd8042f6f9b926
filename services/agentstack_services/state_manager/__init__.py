"""Keeps what readers ask for: a projection of every task in Redis, and the full stream of its events."""
