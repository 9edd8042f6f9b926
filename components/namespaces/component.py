"""The namespaces of the stack and what holds in each: Pod Security, quota, limits, default deny."""

from __future__ import annotations

from functools import partial

import pulumi
import pulumi_kubernetes as k8s

from components.context import Context, Namespace, Offer, StackNamespaces
from components.labels import PART_OF
from components.network import DNS
from components.workloads import metadata
from settings import NamespaceSettings, NamespacesSettings, Settings


class Namespaces(pulumi.ComponentResource):
    """The four namespaces: agents, data, observability and collectors.

    Each denies all traffic but DNS, and enforces the Pod Security Standard `restricted`; the collectors' is
    `privileged`, since reading the host is what they are for. With `protect`, the engine refuses to delete
    them, and the API server to delete those with volumes, whoever asks.
    """

    namespaces: StackNamespaces

    def __init__(
        self,
        name: str,
        spec: NamespacesSettings,
        *,
        protect: bool = True,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("agentstack:platform:Namespaces", name, None, opts)
        durable = pulumi.ResourceOptions(parent=self, protect=protect, retain_on_delete=protect)
        make = partial(isolated_namespace, opts=pulumi.ResourceOptions(parent=self), durable=durable)
        self.namespaces = StackNamespaces(
            agents=make("agents", spec.agents),
            data=make("data", spec.data),
            observability=make("observability", spec.observability),
            collectors=make("collectors", spec.collectors, pod_security="privileged"),
        )
        if protect:
            self._keep([spec.data.name, spec.observability.name])
        self.register_outputs({})

    def _keep(self, names: list[str]) -> None:
        """Have the API server refuse to delete these: their claims would go with them, and most volumes with those.

        https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
        """
        child = pulumi.ResourceOptions(parent=self)
        # Cluster-scoped: other stacks in the cluster have other namespaces.
        named = k8s.meta.v1.ObjectMetaArgs(name=f"agentstack-keep-{names[0]}", labels=PART_OF)
        policy = k8s.admissionregistration.v1.ValidatingAdmissionPolicy(
            "keep-namespaces",
            metadata=named,
            spec=k8s.admissionregistration.v1.ValidatingAdmissionPolicySpecArgs(
                failure_policy="Fail",
                match_constraints=k8s.admissionregistration.v1.MatchResourcesArgs(
                    resource_rules=[
                        k8s.admissionregistration.v1.NamedRuleWithOperationsArgs(
                            api_groups=[""],
                            api_versions=["*"],
                            operations=["DELETE"],
                            resources=["namespaces"],
                            resource_names=names,
                        )
                    ]
                ),
                validations=[
                    k8s.admissionregistration.v1.ValidationArgs(
                        expression="false",
                        message="it holds data; docs/data.md of Agent Stack says how to delete it deliberately",
                        reason="Forbidden",
                    )
                ],
            ),
            opts=child,
        )
        k8s.admissionregistration.v1.ValidatingAdmissionPolicyBinding(
            "keep-namespaces",
            metadata=named,
            spec=k8s.admissionregistration.v1.ValidatingAdmissionPolicyBindingSpecArgs(
                policy_name=policy.metadata.name, validation_actions=["Deny"]
            ),
            opts=child,
        )


def isolated_namespace(
    key: str,
    spec: NamespaceSettings,
    *,
    pod_security: str = "restricted",
    opts: pulumi.ResourceOptions | None = None,
    durable: pulumi.ResourceOptions | None = None,
) -> Namespace:
    """Make a namespace with Pod Security, quota and limits, whose pods may reach DNS and nothing else.

    `durable` are the options of the namespace itself, those of the objects in it if absent.
    """
    namespace = k8s.core.v1.Namespace(
        key,
        metadata=k8s.meta.v1.ObjectMetaArgs(
            name=spec.name,
            labels={
                **PART_OF,
                **{f"pod-security.kubernetes.io/{mode}": pod_security for mode in ("enforce", "audit", "warn")},
            },
        ),
        opts=durable or opts,
    )
    made = Namespace(spec.name, namespace.metadata.name)
    quota = spec.quota
    k8s.core.v1.ResourceQuota(
        f"{key}-quota",
        metadata=metadata("quota", made),
        spec=k8s.core.v1.ResourceQuotaSpecArgs(
            hard={
                "requests.cpu": str(quota.requests.cpu),
                "requests.memory": str(quota.requests.memory),
                "limits.cpu": str(quota.limits.cpu),
                "limits.memory": str(quota.limits.memory),
                "pods": str(quota.pods),
            }
        ),
        opts=opts,
    )
    defaults = spec.container_defaults
    k8s.core.v1.LimitRange(
        f"{key}-limits",
        metadata=metadata("limits", made),
        spec=k8s.core.v1.LimitRangeSpecArgs(
            limits=[
                k8s.core.v1.LimitRangeItemArgs(
                    type="Container",
                    default={"cpu": str(defaults.limits.cpu), "memory": str(defaults.limits.memory)},
                    default_request={"cpu": str(defaults.requests.cpu), "memory": str(defaults.requests.memory)},
                )
            ]
        ),
        opts=opts,
    )
    _policies(key, made, opts)
    return made


def _policies(key: str, made: Namespace, opts: pulumi.ResourceOptions | None) -> None:
    k8s.networking.v1.NetworkPolicy(
        f"{key}-default-deny",
        metadata=metadata("default-deny", made),
        spec=k8s.networking.v1.NetworkPolicySpecArgs(
            pod_selector=k8s.meta.v1.LabelSelectorArgs(),
            policy_types=["Ingress", "Egress"],
        ),
        opts=opts,
    )
    k8s.networking.v1.NetworkPolicy(
        f"{key}-allow-dns",
        metadata=metadata("allow-dns", made),
        spec=k8s.networking.v1.NetworkPolicySpecArgs(
            pod_selector=k8s.meta.v1.LabelSelectorArgs(),
            policy_types=["Egress"],
            egress=[
                k8s.networking.v1.NetworkPolicyEgressRuleArgs(
                    to=[DNS.args()],
                    ports=[
                        k8s.networking.v1.NetworkPolicyPortArgs(port=53, protocol=protocol)
                        for protocol in ("UDP", "TCP")
                    ],
                )
            ],
        ),
        opts=opts,
    )


def build(settings: Settings, context: Context, opts: pulumi.ResourceOptions) -> Offer:
    """Offer the four namespaces."""
    made = Namespaces("namespaces", settings.namespaces, protect=context.protect, opts=opts).namespaces
    return Offer(namespaces=made, outputs={"namespaces": {key: space.name for key, space in made.all.items()}})
