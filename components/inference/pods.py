"""The pods of the stack's own model server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pulumi_kubernetes as k8s

from components.pods import (
    device_tolerations,
    empty_dir,
    http_probe,
    resource_requirements,
    secret_variable,
    secure_pod,
    spread,
    variables,
)
from components.versions import OLLAMA, VLLM, Image
from settings import InferenceServer, InferenceSettings

API_KEY = ("inference.api-key", "api-key")
"""The Secret with the server's key, and the key of that."""


class Engine(NamedTuple):
    """A program that serves models."""

    image: Image
    port: int
    base: str
    """The path of its API."""


ENGINES = {"vllm": Engine(VLLM, 8000, "/v1"), "ollama": Engine(OLLAMA, 11434, "")}

_PULL = Path(__file__).parent / "files" / "ollama-pull.sh"
_HOME = "/data"


def pod_spec(spec: InferenceSettings, server: InferenceServer, own: Mapping[str, str]) -> k8s.core.v1.PodSpecArgs:
    """Return the pods of `server` with the model of `spec`; `own` are the labels that select them."""
    image = server.image or ENGINES[str(spec.backend)].image.reference
    make = _vllm if spec.backend == "vllm" else _ollama
    return make(spec, server, image, own)


def _vllm(
    spec: InferenceSettings, server: InferenceServer, image: str, own: Mapping[str, str]
) -> k8s.core.v1.PodSpecArgs:
    """See https://docs.vllm.ai/en/stable/deployment/docker/ and https://docs.vllm.ai/en/stable/deployment/k8s/."""
    token = server.hugging_face_token
    container = k8s.core.v1.ContainerArgs(
        name="vllm",
        image=image,
        args=[
            f"--model={spec.model}",
            "--port=8000",
            *([f"--tensor-parallel-size={server.gpus}"] if server.gpus > 1 else []),
            *server.args,
        ],
        # All caches are below HOME: of the model, and of what is compiled for the GPU. USER, because Python libraries
        # ask who they are, and the user need not be in the image's /etc/passwd.
        env=[
            *variables({"HOME": _HOME, "USER": "vllm", "VLLM_NO_USAGE_STATS": "1"}),
            secret_variable("VLLM_API_KEY", *API_KEY),
            *([secret_variable("HF_TOKEN", token.name, token.key)] if token else []),
        ],
        working_dir=_HOME,
        volume_mounts=[*_mounts(), k8s.core.v1.VolumeMountArgs(name="shared-memory", mount_path="/dev/shm")],
        ports=[k8s.core.v1.ContainerPortArgs(name="http", container_port=8000)],
        startup_probe=_startup("/health", server),
        readiness_probe=http_probe("/health"),
        liveness_probe=http_probe("/health", failures=6),
        resources=resource_requirements(server.resources, _devices(server)),
    )
    shared = k8s.core.v1.EmptyDirVolumeSourceArgs(medium="Memory", size_limit=str(server.shared_memory))
    return _pod(server, own, VLLM.user, [container], [k8s.core.v1.VolumeArgs(name="shared-memory", empty_dir=shared)])


def _ollama(
    spec: InferenceSettings, server: InferenceServer, image: str, own: Mapping[str, str]
) -> k8s.core.v1.PodSpecArgs:
    """See https://docs.ollama.com/faq for the variables. Its key and its models are below HOME."""
    pull = k8s.core.v1.ContainerArgs(
        name="pull",
        image=image,
        command=["/bin/sh", "-c", _PULL.read_text()],
        env=variables({"HOME": _HOME, "OLLAMA_HOST": "127.0.0.1:11434", "MODEL": str(spec.model)}),
        volume_mounts=_mounts(),
        resources=resource_requirements(server.resources),
    )
    container = k8s.core.v1.ContainerArgs(
        name="ollama",
        image=image,
        env=variables({"HOME": _HOME, "OLLAMA_HOST": "0.0.0.0:11434", "OLLAMA_KEEP_ALIVE": "-1"}),
        volume_mounts=_mounts(),
        ports=[k8s.core.v1.ContainerPortArgs(name="http", container_port=11434)],
        startup_probe=_startup("/", server),
        readiness_probe=http_probe("/"),
        liveness_probe=http_probe("/", failures=6),
        resources=resource_requirements(server.resources, _devices(server)),
    )
    return _pod(server, own, OLLAMA.user, [container], init=[pull])


def _pod(
    server: InferenceServer,
    own: Mapping[str, str],
    user: int,
    containers: list[k8s.core.v1.ContainerArgs],
    volumes: list[k8s.core.v1.VolumeArgs] | None = None,
    init: list[k8s.core.v1.ContainerArgs] | None = None,
) -> k8s.core.v1.PodSpecArgs:
    return secure_pod(
        containers,
        user=user,
        owns_volumes=True,
        spread_constraints=spread(own),
        tolerations=device_tolerations(_devices(server)),
        init_containers=init or [],
        volumes=[empty_dir("tmp", "4Gi"), *(volumes or [])],
    )


def _devices(server: InferenceServer) -> dict[str, int]:
    return {server.gpu_resource: server.gpus} if server.gpus else {}


def _mounts() -> list[k8s.core.v1.VolumeMountArgs]:
    return [
        k8s.core.v1.VolumeMountArgs(name="data", mount_path=_HOME),
        k8s.core.v1.VolumeMountArgs(name="tmp", mount_path="/tmp"),
    ]


def _startup(path: str, server: InferenceServer) -> k8s.core.v1.ProbeArgs:
    return http_probe(path, failures=int(server.startup.total_seconds()) // 10)
