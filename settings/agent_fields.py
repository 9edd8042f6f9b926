"""What a person can say of one agent: the fields of `agents/NAME.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from manifests.problems import Path, Problem, ProblemError
from manifests.secret_text import secret_arguments, secret_in_plain_text

from .batch import Cron, Job
from .fleet import Fleet
from .identity import Identity
from .inference import Inference
from .kinds import Kind, with_defaults
from .model import Model, Resources
from .network import Egress
from .placement import Placement
from .resilience import Resilience
from .rollout import Release, Rollout, RolloutSetting, StateFormats
from .scaling import Queue, Scaling
from .secrets import AgentSecret
from .sections import CONNECTED, USABLE
from .types import (
    AgentName,
    DnsLabel,
    Duration,
    EnvName,
    HostName,
    HttpPath,
    ImageRef,
    Memory,
    OneOf,
    Port,
    RedisKeys,
    Route,
    TopicName,
    UnprivilegedPort,
)

UsablePart = Annotated[str, OneOf(USABLE)]
"""The name of a part that agents can use."""

_SERVES = timedelta(minutes=5)
# The default of Kubernetes.
# https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#stabilization-window
_CONSUMES = timedelta(minutes=15)
# Three times that: load comes in bursts, and each pod that goes makes its group rebalance, which stops the others.
_SECRET = "looks like a secret in plain text"


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


def _no_secret_arguments(args: tuple[str, ...]) -> tuple[str, ...]:
    remedy = "declare it under `secrets` and write `$(NAME)`"
    if mistakes := [Problem((number,), _SECRET, remedy) for number in secret_arguments(args)]:
        raise ProblemError(*mistakes)
    return args


def _no_secret_values(env: dict[str, str]) -> dict[str, str]:
    remedy = "declare it under `secrets` instead"
    if mistakes := [Problem((n,), _SECRET, remedy) for n, value in env.items() if secret_in_plain_text(n, value)]:
        raise ProblemError(*mistakes)
    return env


class AgentFields(Model):
    """The fields, and what follows from them alone. The rules between them are those of `AgentSettings`."""

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
    args: Annotated[tuple[str, ...], AfterValidator(_no_secret_arguments)] = ()
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
    env: Annotated[dict[EnvName, str], AfterValidator(_no_secret_values)] = {}
    """Plain environment variables; changed ones roll the pods."""
    secrets: dict[EnvName, AgentSecret] = {}
    uses: tuple[UsablePart, ...] = ()
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

    @property
    def all_secrets(self) -> dict[str, AgentSecret]:
        """Its secrets and the key of its inference, by variable."""
        return {**self.secrets, **(self.inference.secrets if self.inference else {})}

    def place_of(self, secret: str) -> Path:
        """Return the path of the setting that says where one of `all_secrets` comes from."""
        return ("secrets", secret) if secret in self.secrets else ("inference", "apiKey")

    @property
    def used_parts(self) -> frozenset[str]:
        """The parts that the agent connects to: those in `uses`, and those that other fields imply."""
        return frozenset(
            name
            for name, part in CONNECTED.items()
            if name in self.uses or any(getattr(self, field) not in (None, ()) for field in part.implied_by)
        )

    @property
    def metrics_port(self) -> int | None:
        """The port that Prometheus scrapes, or None."""
        return (self.metrics.port or self.port) if self.metrics else None

    @property
    def queue(self) -> Queue | None:
        """What it scales by the length of, if that is a queue."""
        return self.scaling.queue if self.scaling else None

    @property
    def scale_down_after(self) -> timedelta:
        """How long the load must stay low before pods go."""
        if self.scaling is not None and self.scaling.scale_down_after is not None:
            return self.scaling.scale_down_after
        return _CONSUMES if self.consumes or self.queue else _SERVES

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
