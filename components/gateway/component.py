"""The way in from outside: one Ingress with a rule for each public agent, or an HTTPRoute for each."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s

from components.context import Context, Namespace, Offer
from components.labels import labels
from components.network import NetworkEdge, Peer, network_policy
from components.workloads import metadata
from settings import GatewaySettings, Settings

from .route import http_route


def controller(spec: GatewaySettings) -> Peer:
    """The pods of the ingress controller, for the NetworkPolicies of public agents."""
    return Peer(spec.controller.namespace, spec.controller.pod_labels)


class Gateway(pulumi.ComponentResource):
    """An Ingress of the user's class, or HTTPRoutes, with the hosts and paths of the context's `public` agents.

    TLS comes from a Secret: an existing one, or one that cert-manager fills. Rate limits and authentication are the
    controller's: its annotations pass through. HTTPRoutes wait for agents with a canary release, so that none leads
    to a version that is not ready.
    """

    urls: dict[str, str]
    """Where each public agent answers, by its name."""

    def __init__(
        self,
        name: str,
        spec: GatewaySettings,
        context: Context,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("agentstack:gateway:Gateway", name, None, opts)
        namespace, agents = context.namespaces.agents, context.agents
        canaries = [agent for agent, settings in agents.items() if settings.rollout.strategy == "canary"]
        after = [context.ready[agent] for agent in canaries if agent in context.ready]
        child = pulumi.ResourceOptions(parent=self, depends_on=after)
        routes: dict[str, dict[str, str]] = {}
        for agent, settings in agents.items():
            if settings.public is not None:
                host = settings.public.host or spec.host or ""
                routes.setdefault(host, {})[settings.public.path] = agent
        scheme = "https" if spec.tls or (spec.parent and spec.parent.https) else "http"
        self.urls = {
            agent: f"{scheme}://{host}{path}" for host, paths in routes.items() for path, agent in paths.items()
        }
        if spec.parent is not None:
            for agent, settings in agents.items():
                if settings.public is not None:
                    http_route(agent, settings, spec, spec.parent, namespace=namespace, opts=child)
        elif routes:
            self._ingress(spec, namespace, routes)
            if spec.tls and spec.tls.cluster_issuer:
                # The pods by which cert-manager answers an HTTP-01 challenge, if the issuer uses that.
                # https://cert-manager.io/docs/configuration/acme/http01/
                network_policy(
                    "acme-http01",
                    namespace=namespace.ref,
                    pod_labels={"acme.cert-manager.io/http01-solver": "true"},
                    ingress=[NetworkEdge((controller(spec),), (8089,))],
                    opts=pulumi.ResourceOptions(parent=self),
                )
        self.register_outputs({"urls": self.urls})

    def _ingress(self, spec: GatewaySettings, namespace: Namespace, routes: Mapping[str, Mapping[str, str]]) -> None:
        issuer = spec.tls.cluster_issuer if spec.tls else None
        k8s.networking.v1.Ingress(
            "gateway",
            metadata=metadata(
                "gateway",
                namespace,
                labels("gateway", "gateway"),
                {
                    # An Ingress stands before its controller has given it an address; do not wait for that.
                    "pulumi.com/skipAwait": "true",
                    **({"cert-manager.io/cluster-issuer": issuer} if issuer else {}),
                    **spec.annotations,
                },
            ),
            spec=k8s.networking.v1.IngressSpecArgs(
                ingress_class_name=spec.ingress_class,
                tls=[k8s.networking.v1.IngressTLSArgs(hosts=sorted(routes), secret_name=spec.tls.secret_name)]
                if spec.tls
                else None,
                rules=[
                    k8s.networking.v1.IngressRuleArgs(
                        host=host,
                        http=k8s.networking.v1.HTTPIngressRuleValueArgs(
                            paths=[
                                k8s.networking.v1.HTTPIngressPathArgs(
                                    path=path,
                                    path_type="Prefix",
                                    backend=k8s.networking.v1.IngressBackendArgs(
                                        service=k8s.networking.v1.IngressServiceBackendArgs(
                                            name=agent, port=k8s.networking.v1.ServiceBackendPortArgs(name="http")
                                        )
                                    ),
                                )
                                for path, agent in sorted(paths.items())
                            ]
                        ),
                    )
                    for host, paths in sorted(routes.items())
                ],
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )


def build(settings: Settings, context: Context, opts: pulumi.ResourceOptions) -> Offer:
    """Say where each public agent answers."""
    spec = settings.gateway
    urls = Gateway("gateway", spec, context, opts).urls if spec.enabled else {}
    return Offer(outputs={"agentUrls": urls})
