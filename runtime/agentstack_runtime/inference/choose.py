"""The model that the contract names, with the guards of the contract around it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agentstack_runtime.contract import Contract, ContractError, Inference

from .breaker import Breaker
from .echo import Echo
from .protocol import Model
from .resilient import Resilient
from .signals import show_state


def model(contract: Contract, *, renewed: Callable[[], Contract] | None = None) -> Model:
    """Return the model behind INFERENCE_BACKEND: bounded, timed, retried, broken off and metered by the contract.

    `renewed` is asked for the contract of the moment before each call, for a key that rotates; all else of it is
    read once. Only the chosen backend's library is imported. An `onnx` model is loaded here, which may take seconds.
    Raises `ContractError` where there is no such backend, or it misses something.
    """
    found = contract.inference
    if found is None:
        raise ContractError(("INFERENCE_BACKEND: is not set; give the agent `inference: {}` in its file",))
    limits = contract.resilience
    circuit = limits.circuit_breaker
    return Resilient(
        _backend(found, contract, renewed or (lambda: contract)),
        backend=found.backend,
        model=found.model,
        concurrency=limits.concurrency,
        timeout=limits.request_timeout,
        retries=limits.retries.max,
        backoff=limits.retries.backoff,
        max_backoff=limits.retries.max_backoff,
        breaker=circuit
        and Breaker(
            found.backend,
            failures=circuit.failures,
            window=circuit.window,
            cooldown=circuit.cooldown,
            on_state=show_state(found.backend),
        ),
    )
