"""A process as the stack expects it: probes, metrics, bounds for whoever connects, and an end that loses nothing."""

from .problem import PROBLEM_JSON, discard, problem
from .process import Process

__all__ = ["PROBLEM_JSON", "Process", "discard", "problem"]
