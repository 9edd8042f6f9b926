"""What answers agents' model calls: a hosted API, a server elsewhere, or vLLM or Ollama in the agents' namespace."""

from .client import connect
from .server import ModelServer

__all__ = ["ModelServer", "connect"]
