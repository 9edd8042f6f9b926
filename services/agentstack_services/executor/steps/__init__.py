"""What can do a step: a model, an agent, a URL, a function."""

from __future__ import annotations

from .work import Kind, StepFailed, Work

__all__ = ["Kind", "StepFailed", "Work"]
