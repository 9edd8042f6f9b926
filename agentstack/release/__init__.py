"""Releases: the next version of an agent step by step, watched, and back by itself; and the way back afterwards."""
