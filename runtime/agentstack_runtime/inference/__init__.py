"""Model calls: one protocol, whatever the environment lets answer."""

from __future__ import annotations

from .echo import Echo
from .fallback import fallback
from .protocol import Answer, Chunk, CircuitOpen, InferenceError, Model, Prompt, RateLimited, Refused, Role, Timeout, Turn

__all__ = [
    "Answer",
    "Chunk",
    "CircuitOpen",
    "Echo",
    "InferenceError",
    "Model",
    "Prompt",
    "RateLimited",
    "Refused",
    "Role",
    "Timeout",
    "Turn",
    "fallback",
]
