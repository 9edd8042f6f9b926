"""Workflows as files for the agents that use them, renewed while their pods run."""
