"""The whole stack: its parts, in the order in which they need each other."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping

import pulumi

from components.context import Builder, Context
from components.network import Peer
from components.parts import PARTS
from settings import Settings

from .guard import facts
from .hook import guarded


class Platform(pulumi.ComponentResource):
    """Everything that `settings` ask for.

    `secrets` holds the values of the secrets that agents read, by the name of their environment variable.
    """

    outputs: Mapping[str, pulumi.Input[object]]
    """What a person needs next; never a secret."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        *,
        secrets: Mapping[str, pulumi.Input[str]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("agentstack:platform:Platform", name, dict(facts(settings)), guarded(settings, opts))
        platform = settings.platform
        context = Context(
            agents=settings.agents,
            keda=_keda(platform.keda.namespace) if platform.keda is not None else None,
            cluster_domain=platform.cluster_domain,
            storage_class=platform.storage_class,
            protect=platform.safeguards.protect_data,
            secrets=secrets or {},
        )
        for part in PARTS:
            if part.builder is not None:
                build: Builder = pkgutil.resolve_name(part.builder)
                context = context.extended(part.name, build(settings, context, pulumi.ResourceOptions(parent=self)))
        self.outputs = context.outputs
        self.register_outputs(dict(self.outputs))


def _keda(namespace: str) -> Peer:
    """KEDA's pods that ask for the length of queues, where its Helm chart or its manifests have installed it."""
    return Peer(namespace, {"app": "keda-operator"})
