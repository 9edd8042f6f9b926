"""What answers an agent's model calls: a hosted API, a model server in the cluster, or the agent's own process."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator

from manifests.problems import Problem, ProblemError
from manifests.secret_text import secret_arguments
from manifests.text import quoted

from .model import Demand, Model, Resources, SecretKey, Section, SetsVariables
from .secrets import AgentSecret
from .types import HOST_PATTERN, Cidr, Duration, GpuResource, ImageRef, Memory

Backend = Literal["openai", "azure", "vllm", "ollama", "onnx", "echo"]
_SERVERS: tuple[Backend, ...] = ("vllm", "ollama")
IN_PROCESS: tuple[Backend, ...] = ("onnx", "echo")
"""What answers in the agent's own process: no endpoint, no key, no network."""

KEY_VARIABLES: dict[Backend, str] = {
    "openai": "OPENAI_API_KEY",
    "azure": "AZURE_OPENAI_API_KEY",
    "vllm": "OPENAI_API_KEY",
    "ollama": "OPENAI_API_KEY",
}
"""The variable in which each backend's official SDK looks for the key; Ollama's clients are OpenAI's."""

OPENAI_ENDPOINT = "https://api.openai.com/v1"


_SET_IN_ARGS = {"--model", "--host", "--port", "--tensor-parallel-size", "-tp", "--served-model-name", "--api-key"}
"""Options of vLLM that the server's other settings decide, and what the agents are told."""


def _is_host(text: str) -> bool:
    if is_address(text):
        return "%" not in text  # a zone, which is a node's own affair
    return bool(re.fullmatch(HOST_PATTERN, text)) and not text.rpartition(".")[2].isdigit()


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    known = _is_host(parts.hostname or "") and text.isprintable() and " " not in text
    if parts.scheme not in ("http", "https") or not known or port == 0:
        raise ProblemError.of(f"{quoted(text)} is not a URL", "write `https://HOST[:PORT][/PATH]`")
    mistakes = []
    if "@" in parts.netloc:
        mistakes.append(Problem((), "a login in a URL is no secret", "remove it, and give `apiKey`"))
    if parts.query or parts.fragment:
        mistakes.append(Problem((), "a base URL has no query and no fragment", "remove what follows the path"))
    if mistakes:
        raise ProblemError(*mistakes)
    return text.rstrip("/")


Url = Annotated[str, AfterValidator(_url), Field(json_schema_extra={"pattern": "^https?://"})]
"""An HTTP base URL without login, query and fragment."""


class Inference(SetsVariables):
    """What answers an agent's model calls.

    What is left out comes from the environment's `agentstack:inference`, as long as that has the same `backend`.
    """

    # Those that some backend sets: none of them is the agent's own, whichever backend it has today.
    variables: ClassVar[frozenset[str]] = frozenset(
        {
            "INFERENCE_BACKEND",
            "INFERENCE_MODEL",
            "INFERENCE_ENDPOINT",
            "OPENAI_BASE_URL",
            "OPENAI_API_VERSION",
            "AZURE_OPENAI_ENDPOINT",
            "OLLAMA_HOST",
            *KEY_VARIABLES.values(),
        }
    )

    backend: Backend | None = None
    """`openai` and `azure` are hosted, `vllm` and `ollama` are servers, `onnx` and `echo` run in the agent's own
    process: `echo` repeats what it is asked, says so, and needs neither a model nor a key."""
    model: str | None = Field(default=None, min_length=1, max_length=256)
    """The model's name; with `azure` the deployment's, with `onnx` the path of the model in the container.
    `echo` needs none."""
    endpoint: Url | None = None
    """The base URL as the backend's client takes it: with `/v1` for `openai` and `vllm`, without it for the others.

    Absent: OpenAI's own, or the server that the stack runs.
    """
    network: Cidr | None = None
    """The network of the endpoint's addresses, where they are not public. A Service (`NAME.NAMESPACE.svc`) and an
    address need none."""
    api_version: str | None = Field(default=None, pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?$")
    """The version of Azure OpenAI's API, for clients that ask for `OPENAI_API_VERSION`."""
    api_key: AgentSecret | None = None
    """Where the key comes from; for `openai` and `azure` the configuration's `agentstack:secrets` if absent."""
    gpus: int = Field(default=0, ge=0, le=16)
    """GPUs of each of the agent's pods, for `onnx`."""
    gpu_resource: GpuResource = "nvidia.com/gpu"

    @property
    def secrets(self) -> dict[str, AgentSecret]:
        """The key by its variable, where a person gives it: a server that the stack runs comes with one."""
        hosted = AgentSecret() if self.backend in ("openai", "azure") else None
        key = self.api_key or hosted
        return {KEY_VARIABLES[self.backend]: key} if key is not None and self.backend in KEY_VARIABLES else {}

    @property
    def model_name(self) -> str | None:
        """The model; `echo` is its own."""
        return self.model or ("echo" if self.backend == "echo" else None)

    @property
    def url(self) -> str | None:
        """The endpoint, where it is not a server that the stack runs."""
        return self.endpoint or (OPENAI_ENDPOINT if self.backend == "openai" else None)

    def mistakes(self, server: str | None = None) -> Iterator[Problem]:
        """Say what is missing or does not fit; `server` is the model of the stack's own server, if it runs one.

        Not among its `problems`: what is missing may come from the environment.
        """
        elsewhere = "name one here, or for all agents in the environment's `agentstack:inference`"
        if self.backend is None:
            yield Problem(("backend",), "is missing", elsewhere)
            return
        if self.model_name is None:
            yield Problem(("model",), "is missing", elsewhere)
        if self.backend in IN_PROCESS:
            given = (("endpoint", self.endpoint), ("network", self.network), ("apiKey", self.api_key))
            for name in (name for name, value in given if value is not None):
                yield Problem((name,), f"{self.backend} runs in the agent's process", "remove it")
        if self.gpus and self.backend != "onnx":
            yield Problem(
                ("gpus",), "no model runs in the agent's process", "remove it, or see `inference.server.gpus`"
            )
        if self.backend == "azure" and self.endpoint is None:
            yield Problem(("endpoint",), "is missing", "write `https://NAME.openai.azure.com`")
        if self.backend != "azure" and self.api_version is not None:
            yield Problem(("apiVersion",), f"belongs to azure, not to {self.backend}", "remove it")
        if self.backend in _SERVERS and self.endpoint is None:
            yield from self._mistakes_with_server(server)

    def _mistakes_with_server(self, server: str | None) -> Iterator[Problem]:
        if self.network is not None:
            yield Problem(("network",), "there is no endpoint that it could belong to", "remove it")
        if server is None:
            remedy = "write the server's URL, or let the stack run one: `inference.server`"
            yield Problem(("endpoint",), "is missing", remedy)
            return
        if self.model is not None and self.model != server:
            only = f"the stack's {self.backend} serves {quoted(server)} alone"
            yield Problem(("model",), only, "remove it, or give an `endpoint`")
        if self.api_key is not None:
            yield Problem(("apiKey",), "the server that the stack runs comes with a key", "remove it")


class InferenceServer(Model):
    """vLLM or Ollama in the agents' namespace, run by the stack while the environment's `backend` is that."""

    replicas: int = Field(default=1, ge=1, le=100)
    gpus: int = Field(default=1, ge=0, le=16)
    """GPUs of each replica; vLLM splits the model over them. 0 suits Ollama, or an image of vLLM for CPUs."""
    gpu_resource: GpuResource = "nvidia.com/gpu"
    image: ImageRef | None = None
    """Instead of the stack's pinned one."""
    args: tuple[str, ...] = ()
    """More arguments of vLLM, such as `--max-model-len=8192`."""
    resources: Resources = Resources.of("4", "16Gi", "8", "32Gi")
    storage: Memory = Memory("100Gi")
    """Each replica's claim, which keeps the model: it is downloaded once, not at each start. Goes with the server."""
    shared_memory: Memory = Memory("8Gi")
    """vLLM's `/dev/shm`, by which its processes exchange tensors; counts as the container's memory once it is used."""
    startup: Duration = Field(default=timedelta(minutes=30), ge=timedelta(minutes=1), le=timedelta(hours=6))
    """How long loading the model may take, with vLLM its first download as well (at most six hours)."""
    hugging_face_token: SecretKey | None = None
    """A Secret in the agents' namespace with a token for gated models of Hugging Face."""

    @field_validator("args")
    @classmethod
    def _vllms_alone(cls, args: tuple[str, ...]) -> tuple[str, ...]:
        taken = [n for n, argument in enumerate(args) if argument.partition("=")[0].replace("_", "-") in _SET_IN_ARGS]
        mistakes = [Problem((number,), "is set by the stack", "remove it") for number in taken]
        for number in secret_arguments(args):
            if number not in taken:
                mistakes.append(Problem((number,), "looks like a secret in plain text", "remove it"))
        if mistakes:
            raise ProblemError(*mistakes)
        return args

    def problems(self) -> Iterator[Problem]:
        """The shared memory leaves some."""
        limit = self.resources.limits.memory
        if self.shared_memory.amount >= limit.amount:
            what = f"{self.shared_memory} leaves nothing of the memory limit of {limit}"
            yield Problem(("sharedMemory",), what, "lower it, or raise `resources.limits.memory`")


class InferenceSettings(Inference, Section):
    """What answers the model calls of all agents that declare `inference`, as far as they do not say otherwise."""

    implied_by: ClassVar[tuple[str, ...]] = ("inference",)

    server: InferenceServer | None = None
    """A server that the stack runs; idle settings while the backend is not `vllm` or `ollama`."""

    def problems(self) -> Iterator[Problem]:
        """A server that the stack runs has a model, and what its backend knows."""
        if self.runs and self.model is None:
            yield Problem(("model",), "is missing", "name the model that the server is to have")
        if self.runs and self.backend == "ollama":
            given = (("args", self.runs.args), ("huggingFaceToken", self.runs.hugging_face_token))
            for name in (name for name, value in given if value):
                yield Problem(("server", name), "belongs to vllm, not to ollama", "remove it")

    @property
    def runs(self) -> InferenceServer | None:
        """The server to run: none while the backend is not one, or is elsewhere."""
        return self.server if self.backend in _SERVERS and self.endpoint is None else None

    def completed(self, own: Inference) -> Inference:
        """Return what an agent says, the rest filled in from here: nothing for an agent with another backend."""
        if own.backend not in (None, self.backend):
            return own
        given = {name: getattr(own, name) for name in own.model_fields_set}
        return Inference(**{name: getattr(self, name) for name in Inference.model_fields} | given)

    def demands(self) -> dict[str, list[Demand]]:
        """Return the pods of the server that the stack runs."""
        if self.runs is None:
            return {}
        replicas = self.runs.replicas
        containers = (self.runs.resources,)
        server = Demand(source="inference.server", minimum=replicas, maximum=replicas, containers=containers)
        return {"agents": [server]}


def is_address(host: str) -> bool:
    """Whether a URL's host is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
