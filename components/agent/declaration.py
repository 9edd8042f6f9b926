"""What an agent's objects are made from: its name, its settings, and what it finds around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import pulumi
import pulumi_kubernetes as k8s

from components.connection import Connection
from components.context import Namespace
from components.labels import labels, selector
from components.network import Peer
from components.workloads import metadata
from manifests.labels import TEAM, TRACK
from settings import AgentSettings, ExternalSecrets, NetworkSettings, Pool
from settings.agents import Track, tracks
from settings.types import image_tag

COMPONENT = "agent"
"""The value of the label `app.kubernetes.io/component` of every agent."""


def caller_label(agent: str) -> dict[str, str]:
    """The label of pods that may call `agent`."""
    return {f"agentstack.dev/calls-{agent}": "true"}


def any_version(agent: str) -> dict[str, str]:
    """The labels that the pods of every version of `agent` have, and no others."""
    return {key: value for key, value in selector(agent, COMPONENT).items() if not key.endswith("/component")}


@dataclass(frozen=True)
class AgentEnvironment:
    """What an agent finds around it. The defaults suit a cluster with nothing but a namespace."""

    namespace: Namespace = field(default_factory=lambda: Namespace.existing("agents"))
    connections: Mapping[str, Connection] = field(default_factory=dict)
    """What the agent may use, by the name of the part, such as `redis`."""
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Values of secrets by the name of their environment variable."""
    require_secrets: bool = True
    """Whether a pod waits for a required secret that is not there; if not, it starts without."""
    image_pull_secret: str | None = None
    prometheus: Peer | None = None
    """Who scrapes metrics."""
    gateway: Peer | None = None
    """Who routes requests from outside to public agents."""
    pools: Mapping[str, Pool] = field(default_factory=dict)
    """What the agent may name in `placement.pool`."""
    external_secrets: ExternalSecrets | None = None
    """Where `external` secrets are read from."""
    network: NetworkSettings = field(default_factory=NetworkSettings)
    """What the cluster's network can enforce."""
    weighted_routes: bool = False
    """Whether the gateway divides requests between Services by weight."""


@dataclass(frozen=True)
class Declaration:
    """One agent as it was declared, in its environment."""

    name: str
    settings: AgentSettings
    environment: AgentEnvironment
    track: Track | None = None
    """The version that it stands for, in the objects that each has of its own."""

    @cached_property
    def tracks(self) -> list[Declaration]:
        """Its versions that run: the stable one, and the candidate of a release."""
        return [replace(self, settings=track.settings, track=track) for track in tracks(self.settings)]

    def __post_init__(self) -> None:
        """Raise `ValueError` if the environment does not offer the agent's pool."""
        name, offered = self.settings.placement.pool, self.environment.pools
        if name is not None and name not in offered:
            raise ValueError(
                f"agent {self.name} is placed in the pool {name}: give AgentEnvironment(pools=...) with it"
            )

    @property
    def pool(self) -> Pool:
        """The nodes that its pods run on; every node where it names none."""
        name = self.settings.placement.pool
        return self.environment.pools[name] if name else Pool()

    @cached_property
    def connections(self) -> list[Connection]:
        """What it uses. Raises `ValueError` if the environment does not offer that."""
        used, offered = self.settings.used_parts, self.environment.connections
        if missing := sorted(used - offered.keys()):
            raise ValueError(
                f"agent {self.name} uses {', '.join(missing)}: give AgentEnvironment(connections=...) one for each"
            )
        return [connection for part, connection in offered.items() if part in used]

    @property
    def devices(self) -> dict[str, int]:
        """The extended resources that its process needs."""
        gpu = self.settings.placement.gpu
        own = {gpu.resource: gpu.count} if gpu else {}
        return own | {name: count for connection in self.connections for name, count in connection.devices.items()}

    @property
    def selector(self) -> dict[str, str]:
        """The labels that tell the pods of its Deployment from all others, for ever."""
        # Two autoscalers that select the same pods stop each other, so a candidate's pods are not the stable ones'.
        return selector(self.name, f"{COMPONENT}{self._suffix}")

    @property
    def all_pods(self) -> dict[str, str]:
        """The labels of its pods, whichever version they run."""
        return selector(self.name, COMPONENT) if self.settings.rollout.strategy == "rolling" else any_version(self.name)

    @property
    def object_name(self) -> str:
        """The name of the objects that each version has of its own."""
        return f"{self.name}{self._suffix}"

    @property
    def pod_labels(self) -> dict[str, str]:
        """The labels of its pods."""
        track = self.track.label if self.track else None
        return self.labels | ({TRACK: track} if track else {})

    @property
    def labels(self) -> dict[str, str]:
        """The labels of its objects."""
        return labels(self.name, f"{COMPONENT}{self._suffix}", image_tag(self.settings.image)) | self.team_label

    @property
    def team_label(self) -> dict[str, str]:
        """The label by which costs are divided; none without a team. Never in a selector: an agent may change hands."""
        return {TEAM: self.settings.team} if self.settings.team else {}

    @property
    def metadata(self) -> k8s.meta.v1.ObjectMetaArgs:
        """The metadata of its objects, which all have its name."""
        return metadata(self.object_name, self.environment.namespace, self.labels)

    @property
    def _suffix(self) -> str:
        return self.track.suffix if self.track else ""
