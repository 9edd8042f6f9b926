"""The model that the contract names, with the guards of the contract around it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agentstack_runtime.contract import Contract, ContractError, Inference, Resilience

from .breaker import Breaker
from .echo import Echo
from .protocol import Model
from .resilient import Resilient
from .signals import show_state


def model(contract: Contract, *, renewed: Callable[[], Contract] | None = None) -> Model:
    """Return the model behind INFERENCE_BACKEND: bounded, timed, retried, broken off and metered by the contract.

    `renewed` is asked for the contract of the moment before each call, for a key that rotates; all else of it is
    read once. Only the chosen backend's library is imported. An `onnx` model is loaded here, which may take seconds.
    Raises `ContractError` where there is none, or where it misses its endpoint, key, file or library. A server that
    speaks OpenAI's API and asks for no key is a `vllm`.
    """
    found = contract.inference
    if found is None:
        raise ContractError(["INFERENCE_BACKEND: is missing; give the agent `inference: {}` in its file"])
    limits = contract.resilience
    return Resilient(
        _backend(found, contract, renewed or (lambda: contract)),
        backend=found.backend,
        model=found.model,
        concurrency=limits.concurrency,
        timeout=limits.request_timeout,
        retries=limits.retries.max,
        backoff=limits.retries.backoff,
        max_backoff=limits.retries.max_backoff,
        breaker=_breaker(found.backend, limits),
    )


def _breaker(dependency: str, limits: Resilience) -> Breaker | None:
    circuit = limits.circuit_breaker
    if circuit is None:
        return None
    return Breaker(
        dependency,
        failures=circuit.failures,
        window=circuit.window,
        cooldown=circuit.cooldown,
        on_state=show_state(dependency),
    )


def _backend(found: Inference, contract: Contract, renewed: Callable[[], Contract]) -> Model:
    try:
        match found.backend:
            case "echo":
                return Echo(found.model)
            case "onnx":
                from .onnx import Onnx

                return Onnx(Path(found.model))
            case "openai" | "azure" | "vllm" | "ollama":
                from .openai import OpenAI

                return OpenAI(
                    found.model,
                    backend=found.backend,
                    base_url=_url(found),
                    key=lambda: _key(renewed()),
                    timeout=contract.resilience.request_timeout,
                    api_version=found.api_version,
                )
    except ModuleNotFoundError as error:
        extra = "onnx" if found.backend == "onnx" else "openai"
        raise ContractError(
            [f"INFERENCE_BACKEND: {found.backend} needs {error.name}; install agentstack-runtime[{extra}]"]
        ) from None
    except ValueError as error:
        raise ContractError([f"INFERENCE_MODEL: {error}"]) from None


def _url(found: Inference) -> str:
    """Return the endpoint of a backend that has one and, if it is hosted, a key."""
    azure = found.backend == "azure"
    url = found.endpoint if azure else found.base_url
    missing = []
    if url is None:
        variable = "AZURE_OPENAI_ENDPOINT" if azure else "OPENAI_BASE_URL"
        missing.append(f"{variable}: is missing; give the agent `inference.endpoint`")
    if found.backend in ("openai", "azure") and found.api_key is None:
        missing.append(f"{'AZURE_' if azure else ''}OPENAI_API_KEY: is missing; give the agent `inference.apiKey`")
    if url is None or missing:
        raise ContractError(missing)
    return url


def _key(contract: Contract) -> str | None:
    secret = contract.inference and contract.inference.api_key
    return secret.get_secret_value() if secret else None
