"""All settings of one stack, and the rules between its parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from pydantic import model_validator

from .agents import AgentSettings
from .errors import nearest
from .kafka import KafkaSettings
from .model import Demand, Model
from .observability import ObservabilitySettings
from .platform import GatewaySettings, NamespaceSettings, NamespacesSettings, PlatformSettings
from .redis import RedisSettings
from .types import AgentName, EnvName


class Settings(Model):
    """The validated settings of one stack.

    Raises `pydantic.ValidationError`; rules between parts give one line per mistake, `path: mistake: mend`.
    """

    platform: PlatformSettings = PlatformSettings()
    namespaces: NamespacesSettings = NamespacesSettings()
    redis: RedisSettings = RedisSettings()
    kafka: KafkaSettings = KafkaSettings()
    observability: ObservabilitySettings = ObservabilitySettings()
    gateway: GatewaySettings = GatewaySettings()
    agents: dict[AgentName, AgentSettings] = {}
    """The agents that are deployed, by name."""
    disabled: dict[AgentName, AgentSettings] = {}
    """The agents that this environment does without."""
    secrets: frozenset[EnvName] = frozenset()
    """The names of the secrets that are given; their values never enter the settings."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        problems = [
            *self._topics(),
            *self._calls(),
            *self._names(),
            *self._routes(),
            *self._secrets(),
            *self._quotas(),
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def demands(self) -> dict[str, tuple[NamespaceSettings, list[Demand]]]:
        """Return what the pods of each namespace ask for, by the settings' name of the namespace."""
        return {
            "agents": (
                self.namespaces.agents,
                [
                    *(agent.demand(name) for name, agent in self.agents.items()),
                    *(demand for name, agent in self.agents.items() for demand in agent.controller_demands(name)),
                    *self.redis.preflight_demands(),
                    *self.kafka.preflight_demands(),
                ],
            ),
            "data": (self.namespaces.data, [*self.redis.demands(), *self.kafka.demands()]),
            "observability": (self.namespaces.observability, self.observability.demands()),
            "collectors": (self.namespaces.collectors, self.observability.collector_demands()),
        }

    def _topics(self) -> Iterator[str]:
        if self.kafka.mode == "external":
            return
        for name, agent in self.agents.items():
            for field in ("consumes", "produces"):
                for index, topic in enumerate(getattr(agent, field)):
                    if topic not in self.kafka.topics:
                        yield (
                            f"agents.{name}.{field}.{index}: unknown topic `{topic}`"
                            f"{nearest(topic, self.kafka.topics, 'declare it under `kafka.topics`')}"
                        )

    def _calls(self) -> Iterator[str]:
        for name, agent in self.agents.items():
            for index, called in enumerate(agent.calls):
                if called in self.disabled:
                    yield f"agents.{name}.calls.{index}: `{called}` is not enabled here: enable it, or drop the call"
                elif called not in self.agents:
                    yield f"agents.{name}.calls.{index}: unknown agent `{called}`{nearest(called, self.agents)}"
                elif (kind := self.agents[called].kind) != "service":
                    yield (
                        f"agents.{name}.calls.{index}: `{called}` is of `kind: {kind}`, which has no Service: let it "
                        "call, or send what it finds through Kafka"
                    )

    def _names(self) -> Iterator[str]:
        for name, agent in self.agents.items():
            if agent.kind == "fleet" and f"{name}-fleet" in self.agents:
                yield f"agents.{name}-fleet: is the name of the controller of the fleet `{name}`: rename one of them"

    def _routes(self) -> Iterator[str]:
        owners: dict[tuple[str, str], str] = {}
        for name, agent in self.agents.items():
            if agent.public is None:
                continue
            host = agent.public.host or self.gateway.host
            if not self.gateway.enabled:
                yield f"agents.{name}.public: the gateway is off: set `gateway.enabled: true` or `public: null`"
            elif host is None:
                yield f"agents.{name}.public.host: no host: set it here or for all agents in `gateway.host`"
            elif (owner := owners.setdefault((host, agent.public.path), name)) != name:
                yield (
                    f"agents.{name}.public.path: {host}{agent.public.path} belongs to agent `{owner}` already: "
                    "give one of them another host or path"
                )

    def _secrets(self) -> Iterator[str]:
        everyone = [*self.agents.values(), *self.disabled.values()]
        declared = {secret for agent in everyone for secret in agent.secrets}
        for secret in sorted(self.secrets - declared):
            yield f"secrets.{secret}: no agent declares this secret{nearest(secret, declared, 'remove it')}"
        if not self.platform.safeguards.require_secrets:
            return
        for name, agent in self.agents.items():
            for secret, wanted in agent.secrets.items():
                if wanted.required and wanted.existing_secret is None and secret not in self.secrets:
                    yield (
                        f"agents.{name}.secrets.{secret}: required and not given: run `pulumi config set --secret "
                        f"--path 'agentstack:secrets.{secret}'`, or name an `existingSecret`"
                    )

    def _quotas(self) -> Iterator[str]:
        for key, (namespace, demands) in self.demands().items():
            if not demands:
                continue
            for kind, count in (("requests", Demand.requested), ("limits", Demand.limited)):
                for resource in ("cpu", "memory"):
                    quota = getattr(getattr(namespace.quota, kind), resource)
                    # Enough for all pods, and for the largest update to begin: without room it would never end.
                    rolling = max(count(demand, resource, demand.surge) for demand in demands)
                    needed = rolling + sum(count(demand, resource, demand.minimum) for demand in demands)
                    if needed > quota.amount:
                        heaviest = max(demands, key=lambda demand: count(demand, resource, demand.minimum))
                        yield (
                            f"namespaces.{key}.quota.{kind}.{resource}: {quota} is below the "
                            f"{_amount(needed, resource)} that its pods and one rolling update ask for (most of it: "
                            f"{heaviest.source}): raise it or lower the {kind}"
                        )
            pods = sum(demand.minimum for demand in demands) + max(demand.surge for demand in demands)
            if pods > namespace.quota.pods:
                yield f"namespaces.{key}.quota.pods: {namespace.quota.pods} is below the {pods} pods: raise it"


def _amount(value: object, resource: str) -> str:
    number = float(str(value))
    return f"{number:g} cores" if resource == "cpu" else f"{number / 1024**2:,.0f}Mi"
