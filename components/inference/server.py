"""vLLM or Ollama in the agents' namespace."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random

from components.connection import Connection, SecretRef
from components.labels import labels, selector
from components.namespaces import Namespace
from components.network import PUBLIC_INTERNET, Edge, Peer, network_policy
from components.pods import (
    CLAIM_TEMPLATES,
    SECRET_HASH,
    claim,
    config_hash,
    container_security,
    device_tolerations,
    pod_security,
    resource_requirements,
    scrape_annotations,
    secret_variable,
    sized_claims,
    spread,
    variables,
)
from components.versions import OLLAMA, VLLM
from settings import InferenceServer, InferenceSettings
from settings.inference import KEY_VARIABLES
from settings.types import image_tag

from .client import BACKEND_LABEL, environment

_PULL = Path(__file__).parent / "ollama-pull.sh"
_CALLER = {"agentstack.dev/calls-inference": "true"}
_HOME = "/data"
_KEY = "api-key"
# Any public address: both redirect downloads to content networks whose names change.
_DOWNLOADS = Edge((PUBLIC_INTERNET,), (443,))


class ModelServer(pulumi.ComponentResource):
    """A StatefulSet `vllm` or `ollama` with one model, its Service, and a key that its clients need.

    A StatefulSet, since each replica keeps the model on a claim of its own, and since an update must not ask for a
    GPU beyond those that are there. Only agents that use it may connect. Raises `ValueError` where `spec` runs none.
    """

    connection: Connection
    """How an agent uses it."""

    def __init__(
        self,
        name: str,
        spec: InferenceSettings,
        *,
        namespace: Namespace,
        storage_class: str | None = None,
        prometheus: Peer | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        server, backend = spec.runs, spec.backend
        if server is None or backend is None:
            raise ValueError("inference: there is no server to run: give `server`, and no `endpoint`")
        super().__init__("agentstack:inference:ModelServer", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        vllm = backend == "vllm"
        port = 8000 if vllm else 11434
        own = selector(backend, "inference")
        image = VLLM if vllm else OLLAMA
        reference = server.image or image.reference
        all_labels = labels(backend, "inference", image_tag(reference))
        metadata = k8s.meta.v1.ObjectMetaArgs(name=backend, namespace=namespace.ref, labels=all_labels)
        key = random.RandomPassword("inference-api-key", length=32, special=False, opts=child).result
        # Ollama asks for none, but OpenAI's clients refuse to start without: switching to it needs no change of agents.
        secret = k8s.core.v1.Secret(
            "inference.api-key",
            metadata=k8s.meta.v1.ObjectMetaArgs(name="inference.api-key", namespace=namespace.ref, labels=all_labels),
            string_data={_KEY: key},
            opts=child,
        )
        service = k8s.core.v1.Service(
            backend,
            metadata=metadata,
            spec=k8s.core.v1.ServiceSpecArgs(
                selector=own, ports=[k8s.core.v1.ServicePortArgs(name="http", port=port, target_port="http")]
            ),
            opts=child,
        )
        clients = [Edge((Peer(namespace.name, _CALLER),), (port,))]
        if vllm and prometheus is not None:
            clients.append(Edge((prometheus,), (port,)))
        policy = network_policy(
            backend,
            namespace=namespace.ref,
            object_name=backend,
            pod_labels=own,
            ingress=clients,
            egress=[_DOWNLOADS],
            opts=child,
        )
        annotations: dict[str, pulumi.Input[str]] = {**scrape_annotations(port)} if vllm else {}
        if vllm:
            annotations[SECRET_HASH] = pulumi.Output.unsecret(key.apply(lambda value: config_hash({_KEY: value})))
        template = k8s.core.v1.PodTemplateSpecArgs(
            metadata=k8s.meta.v1.ObjectMetaArgs(labels=all_labels, annotations=annotations),
            spec=_vllm(spec, server, reference, own) if vllm else _ollama(spec, server, reference, own),
        )
        wait = f"{int(server.startup.total_seconds()) * server.replicas + 15 * 60}s"
        nodes = k8s.apps.v1.StatefulSet(
            backend,
            metadata=metadata,
            spec=k8s.apps.v1.StatefulSetSpecArgs(
                replicas=server.replicas,
                service_name=service.metadata.name,
                pod_management_policy="Parallel",
                selector=k8s.meta.v1.LabelSelectorArgs(match_labels=own),
                template=template,
                volume_claim_templates=[claim(str(server.storage), storage_class)],
                # What is on them can be downloaded again.
                persistent_volume_claim_retention_policy=(
                    k8s.apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicyArgs(
                        when_deleted="Delete", when_scaled="Delete"
                    )
                ),
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[secret, policy],
                ignore_changes=[CLAIM_TEMPLATES],
                custom_timeouts=pulumi.CustomTimeouts(create=wait, update=wait),
            ),
        )
        sized_claims(nodes, server.replicas, str(server.storage), parent=self)
        k8s.policy.v1.PodDisruptionBudget(
            backend,
            metadata=metadata,
            spec=k8s.policy.v1.PodDisruptionBudgetSpecArgs(
                max_unavailable=1, selector=k8s.meta.v1.LabelSelectorArgs(match_labels=own)
            ),
            opts=child,
        )
        self.connection = Connection(
            environment=environment(spec, f"http://{backend}:{port}{'/v1' if vllm else ''}"),
            secrets={KEY_VARIABLES[backend]: SecretRef("inference.api-key", _KEY)},
            secret_values={"INFERENCE_API_KEY": key},
            pod_labels={BACKEND_LABEL: backend, **_CALLER},
            egress=(Edge((Peer(namespace.name, own),), (port,)),),
            ready=(nodes,),
        )
        self.register_outputs({})


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
            secret_variable("VLLM_API_KEY", "inference.api-key", _KEY),
            *([secret_variable("HF_TOKEN", token.name, token.key)] if token else []),
        ],
        working_dir=_HOME,
        volume_mounts=[*_mounts(), k8s.core.v1.VolumeMountArgs(name="shared-memory", mount_path="/dev/shm")],
        ports=[k8s.core.v1.ContainerPortArgs(name="http", container_port=8000)],
        startup_probe=_startup("/health", server),
        readiness_probe=_probe("/health"),
        liveness_probe=_probe("/health", failures=6),
        resources=resource_requirements(server.resources, _devices(server)),
        security_context=container_security(),
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
        security_context=container_security(),
    )
    container = k8s.core.v1.ContainerArgs(
        name="ollama",
        image=image,
        env=variables({"HOME": _HOME, "OLLAMA_HOST": "0.0.0.0:11434", "OLLAMA_KEEP_ALIVE": "-1"}),
        volume_mounts=_mounts(),
        ports=[k8s.core.v1.ContainerPortArgs(name="http", container_port=11434)],
        startup_probe=_startup("/", server),
        readiness_probe=_probe("/"),
        liveness_probe=_probe("/", failures=6),
        resources=resource_requirements(server.resources, _devices(server)),
        security_context=container_security(),
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
    scratch = k8s.core.v1.EmptyDirVolumeSourceArgs(size_limit="4Gi")
    return k8s.core.v1.PodSpecArgs(
        automount_service_account_token=False,
        # Without it a Service named `vllm` sets VLLM_PORT, which vLLM takes for its own.
        enable_service_links=False,
        security_context=pod_security(user, owns_volumes=True),
        topology_spread_constraints=spread(own),
        tolerations=device_tolerations(_devices(server)),
        init_containers=init,
        containers=containers,
        volumes=[k8s.core.v1.VolumeArgs(name="tmp", empty_dir=scratch), *(volumes or [])],
    )


def _devices(server: InferenceServer) -> dict[str, int]:
    return {server.gpu_resource: server.gpus} if server.gpus else {}


def _mounts() -> list[k8s.core.v1.VolumeMountArgs]:
    return [
        k8s.core.v1.VolumeMountArgs(name="data", mount_path=_HOME),
        k8s.core.v1.VolumeMountArgs(name="tmp", mount_path="/tmp"),
    ]


def _probe(path: str, *, failures: int = 3) -> k8s.core.v1.ProbeArgs:
    return k8s.core.v1.ProbeArgs(
        http_get=k8s.core.v1.HTTPGetActionArgs(path=path, port="http"),
        period_seconds=10,
        timeout_seconds=5,
        failure_threshold=failures,
    )


def _startup(path: str, server: InferenceServer) -> k8s.core.v1.ProbeArgs:
    return _probe(path, failures=int(server.startup.total_seconds()) // 10)
