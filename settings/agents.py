"""Settings of one agent: the file `agents/NAME.yaml`, or `AgentSettings(...)` in a program of one's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from manifests.secret_text import secret_arguments, secret_in_plain_text

from .batch import Cron, Job
from .fleet import CONTROLLER_RESOURCES, Fleet
from .identity import Identity
from .inference import SET_WITH_INFERENCE, Inference
from .kinds import Kind, mistakes, with_defaults
from .model import Demand, Model, Resources
from .network import Egress
from .placement import Placement
from .resilience import Resilience
from .rollout import Release, Rollout, RolloutSetting, StateFormats, check, tracks
from .scaling import Scaling, agent_problems
from .secrets import AgentSecret
from .types import (
    AgentName,
    DnsLabel,
    Duration,
    EnvName,
    HostName,
    HttpPath,
    ImageRef,
    Memory,
    Port,
    RedisKeys,
    Route,
    TopicName,
    UnprivilegedPort,
    duration_text,
)

_ALWAYS_SET = {"AGENT_NAME", "POD_NAME", "PORT"}
_SET_WITH_REDIS = {
    "REDIS_HOST",
    "REDIS_PORT",
    "REDIS_URL",
    "REDIS_CA_FILE",
    "CONVERSATION_TTL_SECONDS",
    "CHECKPOINT_TTL_SECONDS",
}
_SET_WITH_KAFKA = {
    "KAFKA_BOOTSTRAP_SERVERS",
    "KAFKA_SECURITY_PROTOCOL",
    "KAFKA_SASL_MECHANISM",
    "KAFKA_USERNAME",
    "KAFKA_PASSWORD",
    "KAFKA_CA_FILE",
    "KAFKA_CLIENT_RACK",
    "KAFKA_CONSUMER_GROUP",
    "KAFKA_CONSUME_TOPICS",
    "KAFKA_PRODUCE_TOPICS",
}


MAX_SURGE_PERCENT = 25
"""How many pods more than wanted a rolling update may run, in percent of them, rounded up: Kubernetes' default."""


class Probe(Model):
    """An HTTP probe of the agent's port."""

    path: HttpPath
    initial_delay: Duration = Field(default=timedelta(0), le=timedelta(hours=1))
    period: Duration = Field(default=timedelta(seconds=10), ge=timedelta(seconds=1), le=timedelta(hours=1))
    timeout: Duration = Field(default=timedelta(seconds=3), ge=timedelta(seconds=1), le=timedelta(minutes=5))
    failures: int = Field(default=3, ge=1, le=100)
    """Failures in a row before the kubelet acts."""


class Probes(Model):
    """Liveness looks at the process only, readiness at what it depends on."""

    startup: Probe = Probe(path="/health", failures=30)
    """Until it succeeds, the others wait: 30 times 10 s by default."""
    liveness: Probe = Probe(path="/health", initial_delay=timedelta(seconds=30))
    readiness: Probe = Probe(path="/ready", initial_delay=timedelta(seconds=5), period=timedelta(seconds=5))


class Metrics(Model):
    """Where Prometheus finds the agent's metrics."""

    port: Port | None = None
    """The agent's own port if absent."""
    path: HttpPath = "/metrics"


class Public(Model):
    """How the outside reaches the agent through the gateway."""

    host: HostName | None = None
    """The gateway's host if absent."""
    path: Route = "/"
    """Requests whose path begins with it reach the agent, path unchanged."""


class Shutdown(Model):
    """How a pod ends: preStop pause, then SIGTERM, then the rest of the grace period."""

    pre_stop: Duration = Field(default=timedelta(seconds=5), le=timedelta(minutes=5))
    """How long the pod goes on serving while it leaves the Service's endpoints."""
    longest_task: Duration = Field(default=timedelta(seconds=30), le=timedelta(hours=24))
    """How long the longest task may take; the grace period is preStop + longest task + 10 s."""

    @property
    def grace_seconds(self) -> int:
        """`terminationGracePeriodSeconds`."""
        return int((self.pre_stop + self.longest_task).total_seconds()) + 10


class AgentSettings(Model):
    """What a person says of an agent; all of its objects follow from it."""

    enabled: bool = True
    """Whether the agent is deployed; for an environment that does without it."""
    team: DnsLabel | None = None
    """Who owns the agent: the label `agentstack.dev/team` of its objects and pods, by which costs are divided."""
    kind: Kind = "service"
    """`service`: pods that serve and consume. `fleet`: one pod a device. `job`: runs once, and again when its
    declaration changes. `cron`: runs by a schedule. Resources, probes and metrics have other defaults with each."""
    fleet: Fleet | None = None
    job: Job | None = None
    cron: Cron | None = None
    image: ImageRef
    args: tuple[str, ...] = ()
    """Arguments for the image's entry point."""
    user: int = Field(default=10001, ge=1, le=2_147_483_647)
    """The numeric user of the process; 0 (root) is refused."""
    port: UnprivilegedPort = 8080
    """The port that serves HTTP, probes included; reaches the agent as PORT."""
    resources: Resources = Resources.of("100m", "256Mi", "1", "512Mi")
    replicas: int | None = Field(default=None, ge=0, le=1000)
    """A fixed number of pods (1 if neither this nor `scaling` is given)."""
    scaling: Scaling | None = None
    probes: Probes | None = Probes()
    """`null`, the default of `job` and `cron`, for pods that end."""
    metrics: Metrics | None = Metrics()
    """`null` for an agent without metrics."""
    env: dict[EnvName, str] = {}
    """Plain environment variables; changed ones roll the pods."""
    secrets: dict[EnvName, AgentSecret] = {}
    uses: tuple[Literal["redis", "kafka"], ...] = ()
    """What the agent connects to; `consumes` and `produces` imply `kafka`."""
    redis_keys: tuple[RedisKeys, ...] = ("conversation:*", "checkpoint:*")
    """The keys and channels that an agent with `uses: [redis]` may read and write; nothing else is open to it.

    Commands that name keys without such a check (`SCAN`, `RANDOMKEY`) are for an agent with the pattern `*` alone.
    """
    consumes: tuple[TopicName, ...] = ()
    produces: tuple[TopicName, ...] = ()
    calls: tuple[AgentName, ...] = ()
    """Other agents that it opens HTTP connections to."""
    egress: tuple[Egress, ...] = ()
    inference: Inference | None = None
    """What answers its model calls; `{}` takes all of it from the environment's `agentstack:inference`."""
    resilience: Resilience | None = None
    """Absent: the agent has limits of its own, and no variables of this group."""
    identity: Identity = Identity()
    public: Public | None = None
    """Absent: the gateway does not route to the agent."""
    shutdown: Shutdown = Shutdown()
    placement: Placement = Placement()
    rollout: RolloutSetting = Field(default_factory=lambda: Rollout(strategy="rolling"))
    """How the next version takes over: `rolling`, `canary` or `blueGreen`, alone or as `strategy` of a group."""
    release: Release | None = None
    """A release in progress; it belongs into the environment's file, where `agentstack release` writes it."""
    state: StateFormats | None = None
    """Which formats of state this image reads and writes; absent: it is not checked that versions agree."""
    reload: Literal["restart", "file"] = "restart"
    """`restart`: changed variables and secrets replace the pods. `file`: the agent reads them from
    `/etc/agent/config/NAME` and `/etc/agent/secrets/NAME`, where changes appear within about a minute."""
    scratch: Memory = Memory("128Mi")
    """The writable space at `/tmp`; the rest of the file system is read-only."""

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_its_kind(cls, data: object) -> object:
        return with_defaults(data) if isinstance(data, Mapping) else data

    @field_validator("env", "secrets", mode="before")
    @classmethod
    def _null_removes(cls, value: object) -> object:
        """Let an environment take an entry of the agent's file away."""
        return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if found := list(mistakes(self)):
            raise ValueError("\n".join(found))
        if self.replicas is not None and self.scaling is not None:
            raise ValueError(
                "replicas: the autoscaler owns the number of pods: remove `replicas` or `scaling` (in an "
                "environment, set the one that does not apply to `null`)"
            )
        if problems := [*agent_problems(self)]:
            raise ValueError("\n".join(problems))
        for name, value in self.env.items():
            if secret_in_plain_text(name, value):
                raise ValueError(f"env.{name}: looks like a secret in plain text: declare it under `secrets` instead")
        for number in secret_arguments(self.args):
            raise ValueError(
                f"args.{number}: looks like a secret in plain text: declare it under `secrets` and write `$(NAME)`"
            )
        taken = _ALWAYS_SET | (_SET_WITH_REDIS if self.uses_redis else set())
        taken |= _SET_WITH_KAFKA if self.uses_kafka else set()
        taken |= SET_WITH_INFERENCE if self.inference else set()
        taken |= self.resilience.environment().keys() | {"LONGEST_TASK_SECONDS"} if self.resilience else set()
        taken |= {"DEVICE_ID"} if self.kind == "fleet" else set()
        for field, names in (("env", self.env), ("secrets", self.secrets)):
            for name in names:
                if name in taken or name.startswith("AGENT_URL_"):
                    raise ValueError(f"{field}.{name}: is set by the stack: remove it")
                if field == "env" and name in self.secrets:
                    raise ValueError(f"env.{name}: is declared under `secrets` as well: remove one of them")
        longest, task = self.resilience.longest_request if self.resilience else None, self.shutdown.longest_task
        if longest is not None and longest > task:
            raise ValueError(
                f"resilience.requestTimeout: with its retries a request may take {duration_text(longest)}, and "
                f"`shutdown.longestTask` is {duration_text(task)}: raise that, or lower timeout or retries"
            )
        check(self)
        return self

    @property
    def all_secrets(self) -> dict[str, AgentSecret]:
        """Its secrets and the key of its inference, by variable."""
        return {**self.secrets, **(self.inference.secrets if self.inference else {})}

    def place_of(self, secret: str) -> str:
        """Return the path of the setting that says where one of `all_secrets` comes from."""
        return f"secrets.{secret}" if secret in self.secrets else "inference.apiKey"

    @property
    def uses_redis(self) -> bool:
        """Whether the agent connects to Redis."""
        return "redis" in self.uses

    @property
    def uses_kafka(self) -> bool:
        """Whether the agent connects to Kafka."""
        return "kafka" in self.uses or bool(self.consumes or self.produces)

    @property
    def used_parts(self) -> frozenset[str]:
        """The parts of the stack that the agent connects to, by their names."""
        inference = ("inference",) if self.inference is not None else ()
        return frozenset((*self.uses, *(("kafka",) if self.uses_kafka else ()), *inference))

    @property
    def metrics_port(self) -> int | None:
        """The port that Prometheus scrapes, or None."""
        return (self.metrics.port or self.port) if self.metrics else None

    def demand(self, name: str) -> Demand:
        """Pods in the agents' namespace."""
        if self.fleet or self.kind in ("job", "cron"):
            return self._demand_of_its_kind(f"agents.{name}")
        running = [track.settings.bounds for track in tracks(self)]
        low, high = sum(least for least, _ in running), sum(most for _, most in running)
        # From zero, the first pod must find room as those of an update must.
        surge = math.ceil((low or 1) * MAX_SURGE_PERCENT / 100) if high else 0
        return Demand(source=f"agents.{name}", minimum=low, maximum=high, surge=surge, containers=(self.resources,))

    def _demand_of_its_kind(self, source: str) -> Demand:
        if self.fleet is not None:
            low = high = len(self.fleet.ids)
        else:
            high = min(self.run.parallelism, self.run.completions)
            low = 0 if self.kind == "cron" else high
        return Demand(source=source, minimum=low, maximum=high, containers=(self.resources,))

    def controller_demands(self, name: str) -> list[Demand]:
        """The pod of a fleet's controller, in the agents' namespace."""
        resources = (CONTROLLER_RESOURCES,)
        return [Demand(source=f"agents.{name}", minimum=1, maximum=1, containers=resources)] if self.fleet else []

    @property
    def run(self) -> Job:
        """One run, where the kind is `job` or `cron`."""
        return self.job or Job()

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the greatest number of pods."""
        return (self.scaling.min, self.scaling.max) if self.scaling else (self.fixed_replicas, self.fixed_replicas)

    @property
    def fixed_replicas(self) -> int:
        """The number of pods where no autoscaler owns it."""
        return 1 if self.replicas is None else self.replicas


class AgentFile(AgentSettings):
    """One file of `agents/`: the agent's name and its settings."""

    name: AgentName
