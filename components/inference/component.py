"""vLLM or Ollama in the agents' namespace."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random

from components.connection import Connection, SecretRef
from components.context import Context, Offer
from components.labels import labels, selector
from components.network import PUBLIC_INTERNET, NetworkEdge, Peer, edges_from, network_policy
from components.pods import config_hash, scrape_annotations
from components.workloads import (
    claim_retention,
    disruption_budget,
    metadata,
    service,
    stateful_set,
    template,
)
from manifests.labels import SECRET_HASH
from settings import InferenceSettings, Settings
from settings.inference import KEY_VARIABLES
from settings.types import image_tag

from .connection import BACKEND_LABEL, connect, environment
from .pods import API_KEY, ENGINES, pod_spec

_CALLER = {"agentstack.dev/calls-inference": "true"}
# Any public address: both redirect downloads to content networks whose names change.
_DOWNLOADS = NetworkEdge((PUBLIC_INTERNET,), (443,))


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
        named = metadata(backend, namespace, all_labels)
        key = random.RandomPassword("inference-api-key", length=32, special=False, opts=child).result
        # Ollama asks for none, but OpenAI's clients refuse to start without one.
        secret = k8s.core.v1.Secret(
            API_KEY[0],
            metadata=metadata(API_KEY[0], namespace, all_labels),
            string_data={API_KEY[1]: key},
            opts=child,
        )
        reached = service(backend, named, own, {"http": port}, opts=child)
        clients = [NetworkEdge((Peer(namespace.name, _CALLER),), (port,))]
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
        nodes = stateful_set(
            backend,
            named,
            own,
            template(pod_spec(spec, server, own), all_labels, annotations),
            replicas=server.replicas,
            service=reached,
            storage=str(server.storage),
            storage_class=context.storage_class,
            # What is on the claims can be downloaded again.
            protect=False,
            claim_retention=claim_retention(deleted=False, scaled=False),
            parallel=True,
            timeouts=pulumi.CustomTimeouts(create=wait, update=wait),
            parent=self,
            depends_on=[secret, policy],
        )
        disruption_budget(backend, named, own, child)
        self.connection = Connection(
            environment=environment(spec, f"http://{backend}:{port}{engine.base}"),
            secrets={KEY_VARIABLES[backend]: SecretRef(*API_KEY)},
            secret_values={"INFERENCE_API_KEY": key},
            pod_labels={BACKEND_LABEL: backend, **_CALLER},
            egress=(NetworkEdge((Peer(namespace.name, own),), (port,)),),
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
