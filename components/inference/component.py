"""vLLM or Ollama in the agents' namespace."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random

from components.connection import Connection, SecretRef
from components.context import Context, Offer
from components.labels import labels, selector
from components.network import PUBLIC_INTERNET, Edge, Peer, edges_from, network_policy
from components.pods import CLAIM_TEMPLATES, claim, config_hash, scrape_annotations, sized_claims
from manifests.labels import SECRET_HASH
from settings import InferenceSettings, Settings
from settings.inference import KEY_VARIABLES
from settings.types import image_tag

from .client import BACKEND_LABEL, connect, environment
from .pods import API_KEY, ENGINES, pod_spec

_CALLER = {"agentstack.dev/calls-inference": "true"}
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
        context: Context,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        server, backend = spec.runs, spec.backend
        if server is None or backend is None:
            raise ValueError("inference: there is no server to run: give `server`, and no `endpoint`")
        super().__init__("agentstack:inference:ModelServer", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        namespace = context.namespaces.agents
        engine = ENGINES[backend]
        port = engine.port
        own = selector(backend, "inference")
        all_labels = labels(backend, "inference", image_tag(server.image or engine.image.reference))
        metadata = k8s.meta.v1.ObjectMetaArgs(name=backend, namespace=namespace.ref, labels=all_labels)
        key = random.RandomPassword("inference-api-key", length=32, special=False, opts=child).result
        # Ollama asks for none, but OpenAI's clients refuse to start without one.
        secret = k8s.core.v1.Secret(
            API_KEY[0],
            metadata=k8s.meta.v1.ObjectMetaArgs(name=API_KEY[0], namespace=namespace.ref, labels=all_labels),
            string_data={API_KEY[1]: key},
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
        annotations: dict[str, pulumi.Input[str]] = {}
        # Ollama has neither metrics nor a key.
        if backend == "vllm":
            annotations |= scrape_annotations(port)
            annotations[SECRET_HASH] = pulumi.Output.unsecret(key.apply(lambda value: config_hash({API_KEY[1]: value})))
            clients += edges_from(context.prometheus, port)
        policy = network_policy(
            backend,
            namespace=namespace.ref,
            pod_labels=own,
            ingress=clients,
            egress=[_DOWNLOADS],
            opts=child,
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
                template=k8s.core.v1.PodTemplateSpecArgs(
                    metadata=k8s.meta.v1.ObjectMetaArgs(labels=all_labels, annotations=annotations),
                    spec=pod_spec(spec, server, own),
                ),
                volume_claim_templates=[claim(str(server.storage), context.storage_class)],
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
            environment=environment(spec, f"http://{backend}:{port}{engine.base}"),
            secrets={KEY_VARIABLES[backend]: SecretRef(*API_KEY)},
            secret_values={"INFERENCE_API_KEY": key},
            pod_labels={BACKEND_LABEL: backend, **_CALLER},
            egress=(Edge((Peer(namespace.name, own),), (port,)),),
            ready=(nodes,),
        )
        self.register_outputs({})


def build(settings: Settings, context: Context, opts: pulumi.ResourceOptions) -> Offer:
    """Offer each agent with model calls its connection: to the stack's own server, or to the endpoint that it names."""
    spec = settings.inference
    own = ModelServer("inference", spec, context, opts).connection if spec.runs is not None else None
    return Offer(
        connections={
            name: own if own and (used.backend, used.endpoint) == (spec.backend, None) else connect(used)
            for name, agent in settings.agents.items()
            if (used := agent.inference)
        }
    )
