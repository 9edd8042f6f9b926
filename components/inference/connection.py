"""What an agent needs to have its model calls answered."""

from __future__ import annotations

from urllib.parse import urlsplit

from components.connection import Connection
from components.network import NetworkEdge, Peer, public_host
from manifests.problems import ProblemError
from settings import Inference
from settings.inference import is_address

BACKEND_LABEL = "agentstack.dev/inference-backend"
"""Prometheus gives it to the series of the pod as `inference_backend`, for alerts to select by."""


def connect(spec: Inference) -> Connection:
    """Connect an agent to the endpoint of `spec`, or with `onnx` to the devices that its own process needs.

    The key is one of the agent's secrets (`AgentSettings.all_secrets`). Raises `ValueError` where `spec` is not whole.
    """
    if mistakes := [mistake.below("inference") for mistake in spec.mistakes()]:
        raise ProblemError(*mistakes)
    return Connection(
        environment=environment(spec, spec.url),
        pod_labels={BACKEND_LABEL: str(spec.backend)},
        egress=(_edge(spec, spec.url),) if spec.url else (),
        devices={spec.gpu_resource: spec.gpus} if spec.gpus else {},
    )


def environment(spec: Inference, url: str | None) -> dict[str, str]:
    """Return the variables of an agent: those of the stack, and those that the backend's official SDKs read."""
    found = {"INFERENCE_BACKEND": str(spec.backend), "INFERENCE_MODEL": str(spec.model_name)}
    if url is None:
        return found
    found["INFERENCE_ENDPOINT"] = url
    match spec.backend:
        case "azure":
            found["AZURE_OPENAI_ENDPOINT"] = url
            if spec.api_version is not None:
                found["OPENAI_API_VERSION"] = spec.api_version
        case "ollama":
            # It speaks OpenAI's API as well. https://docs.ollama.com/api/openai-compatibility
            found |= {"OLLAMA_HOST": url, "OPENAI_BASE_URL": f"{url}/v1"}
        case _:
            found["OPENAI_BASE_URL"] = url
    return found


def _edge(spec: Inference, url: str) -> NetworkEdge:
    parts = urlsplit(url)
    host = str(parts.hostname)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if spec.network is not None:
        return NetworkEdge((Peer(cidr=spec.network),), (port,))
    if is_address(host):
        return NetworkEdge((Peer(cidr=f"{host}/{128 if ':' in host else 32}"),), (port,))
    labels = host.split(".")
    if labels[2:3] == ["svc"]:
        # Policies see the pods' own port, which need not be the Service's: that namespace's policies name it.
        return NetworkEdge((Peer(labels[1]),), ())
    return NetworkEdge((public_host(host),), (port,))
