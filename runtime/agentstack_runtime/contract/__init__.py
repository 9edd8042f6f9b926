"""What the stack injects into an agent: typed, checked at the start, and renewed with `reload: file`."""

from .model import (
    CircuitBreaker,
    Contract,
    Inference,
    Kafka,
    Redis,
    Resilience,
    Retries,
)
from .reading import CONFIG, SECRETS, ContractError, load
from .renewal import watch
from .variables import PREFIXES, VARIABLES, Variable

__all__ = [
    "CONFIG",
    "PREFIXES",
    "SECRETS",
    "VARIABLES",
    "CircuitBreaker",
    "Contract",
    "ContractError",
    "Inference",
    "Kafka",
    "Redis",
    "Resilience",
    "Retries",
    "Variable",
    "load",
    "watch",
]
