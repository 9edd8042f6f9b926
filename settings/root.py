"""All settings of one stack, and the rules between its parts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Literal, Self

from pydantic import ValidationInfo, field_validator, model_validator

from manifests.text import nearest

from .agents import AgentSettings
from .inference import InferenceSettings
from .kafka import KafkaSettings
from .model import Demand, Model
from .observability import ObservabilitySettings
from .platform import GatewaySettings, NamespaceSettings, NamespacesSettings, PlatformSettings
from .redis import RedisSettings
from .rollout import problems as release_problems
from .scaling import stack_problems
from .types import AgentName, EnvName, duration_text


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
    inference: InferenceSettings = InferenceSettings()
    agents: dict[AgentName, AgentSettings] = {}
    """The agents that are deployed, by name."""
    disabled: dict[AgentName, AgentSettings] = {}
    """The agents that this environment does without."""
    secrets: frozenset[EnvName] = frozenset()
    """The names of the secrets that are given; their values never enter the settings."""

    @field_validator("agents", "disabled")
    @classmethod
    def _complete_inference(cls, agents: dict[str, AgentSettings], info: ValidationInfo) -> dict[str, AgentSettings]:
        defaults = info.data.get("inference") or InferenceSettings()
        return {
            name: agent.model_copy(update={"inference": defaults.completed(agent.inference)})
            if agent.inference
            else agent
            for name, agent in agents.items()
        }

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        problems = [
            *self._topics(),
            *self._calls(),
            *stack_problems(self),
            *self._names(),
            *self._routes(),
            *self._inference(),
            *self._secrets(),
            *self._placements(),
            *self._quotas(),
            *release_problems(self),
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
                    *self.inference.demands(),
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

    def _inference(self) -> Iterator[str]:
        backend, runs = self.inference.backend, self.inference.runs
        if runs and self.inference.model is None:
            yield "inference.model: is missing: name the model that the server is to have"
        if runs and backend in self.agents:
            yield f"agents.{backend}: is the name of the stack's model server: choose another"
        for name, agent in self.agents.items():
            if agent.inference is not None:
                own = self.inference.model if runs and agent.inference.backend == backend else None
                yield from (f"agents.{name}.inference.{mistake}" for mistake in agent.inference.mistakes(own))
                if agent.inference.gpus and agent.placement.gpu:
                    yield f"agents.{name}.placement.gpu: `inference.gpus` asks for them already: remove one of the two"

    def _secrets(self) -> Iterator[str]:
        everyone = [*self.agents.values(), *self.disabled.values()]
        declared = {secret for agent in everyone for secret in agent.all_secrets}
        for secret in sorted(self.secrets - declared):
            yield f"secrets.{secret}: no agent declares this secret{nearest(secret, declared, 'remove it')}"
        for name, agent in self.agents.items():
            for secret, wanted in agent.all_secrets.items():
                if wanted.external and self.platform.external_secrets is None:
                    yield (
                        f"agents.{name}.{agent.place_of(secret)}.external: no store to read it from: say in "
                        "`platform.externalSecrets` that the cluster has the operator, or use another source"
                    )
        if not self.platform.safeguards.require_secrets:
            return
        for name, agent in self.agents.items():
            for secret, wanted in agent.all_secrets.items():
                if wanted.required and wanted.configured and secret not in self.secrets:
                    yield (
                        f"agents.{name}.{agent.place_of(secret)}: required and not given: run `pulumi config set "
                        f"--secret --path 'agentstack:secrets.{secret}'`, or name an `existingSecret`"
                    )

    def _placements(self) -> Iterator[str]:
        pools = self.platform.all_pools
        called = {name for agent in self.agents.values() for name in agent.calls}
        for name, agent in self.agents.items():
            chosen = agent.placement.pool
            if chosen is None:
                continue
            path = f"agents.{name}.placement.pool"
            if chosen not in pools:
                otherwise = (
                    "set `platform.nodeProvider`, or describe it in `platform.pools` (`{}` where all nodes are alike)"
                )
                yield f"{path}: this environment has no pool `{chosen}`{nearest(chosen, pools, otherwise)}"
            elif (notice := pools[chosen].notice) is not None and not agent.placement.interruptible:
                grace = timedelta(seconds=agent.shutdown.grace_seconds)
                if grace > notice:
                    yield (
                        f"{path}: a pod needs {duration_text(grace)} to end (preStop + longestTask + 10s) and nodes of "
                        f"`{chosen}` give it {duration_text(notice)}: lower `shutdown`, choose another pool, or say "
                        "`interruptible: true` if a task that is cut off is done again"
                    )
                if (agent.public or name in called) and agent.demand(name).minimum < 2:
                    yield (
                        f"{path}: others wait for answers of `{name}`, and its only pod goes when its node does: run "
                        "two or more, choose another pool, or say `interruptible: true`"
                    )

    def _quotas(self) -> Iterator[str]:
        for key, (namespace, demands) in self.demands().items():
            if not demands:
                continue
            kind: Literal["requests", "limits"]
            for kind in ("requests", "limits"):
                for resource in ("cpu", "memory"):
                    quota = getattr(getattr(namespace.quota, kind), resource)
                    # Enough for all pods, and for the largest update to begin: without room it would never end.
                    rolling = max(demand.asked(kind, resource, demand.surge) for demand in demands)
                    least = [demand.asked(kind, resource, demand.minimum) for demand in demands]
                    needed = rolling + sum(least)
                    if needed > quota.amount:
                        heaviest = demands[least.index(max(least))]
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
