"""What a part finds around it, and what it offers to the parts after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import pulumi

from components.connection import Connection
from components.network import Peer
from settings import AgentSettings, Settings


@dataclass(frozen=True)
class Namespace:
    """A namespace that objects can be put into."""

    name: str
    """The plain name, for host names and selectors."""
    ref: pulumi.Input[str]
    """The name as an output: what uses it is made after the namespace."""

    @classmethod
    def existing(cls, name: str) -> Namespace:
        """A namespace that is not part of this program."""
        return cls(name, name)


@dataclass(frozen=True)
class StackNamespaces:
    """The four namespaces of a stack, by what they are for."""

    agents: Namespace = Namespace("agents", "agents")
    data: Namespace = Namespace("data", "data")
    observability: Namespace = Namespace("observability", "observability")
    collectors: Namespace = Namespace("collectors", "collectors")

    @property
    def all(self) -> dict[str, Namespace]:
        """The four, by what they are for."""
        return {
            "agents": self.agents,
            "data": self.data,
            "observability": self.observability,
            "collectors": self.collectors,
        }


@dataclass(frozen=True)
class Offer:
    """What a part offers to the parts that come after it, and to people."""

    connections: Mapping[str, Connection] = field(default_factory=dict)
    """How each agent that may use the part reaches it, by the agent's name."""
    namespaces: StackNamespaces | None = None
    prometheus: Peer | None = None
    """Who scrapes metrics."""
    ready: Mapping[str, pulumi.Resource] = field(default_factory=dict)
    """What others may have to wait for, by name."""
    outputs: Mapping[str, pulumi.Input[object]] = field(default_factory=dict)
    """What a person needs next; never a secret."""


@dataclass(frozen=True)
class Context:
    """What a part finds around it. The defaults suit a cluster with nothing but the four namespaces."""

    agents: Mapping[str, AgentSettings] = field(default_factory=dict)
    """The agents of the stack, by name."""
    namespaces: StackNamespaces = field(default_factory=StackNamespaces)
    prometheus: Peer | None = None
    """Who scrapes metrics."""
    keda: Peer | None = None
    """Who asks for the length of queues, where KEDA is installed."""
    cluster_domain: str = "cluster.local"
    storage_class: str | None = None
    """The cluster's default if None."""
    protect: bool = True
    """Whether the engine refuses to delete what holds data."""
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict, repr=False)
    """Values of agents' secrets, by the name of their environment variable."""
    connections: Mapping[str, Mapping[str, Connection]] = field(default_factory=dict)
    """What parts offer, by the part's name, to each agent by its name."""
    ready: Mapping[str, pulumi.Resource] = field(default_factory=dict)
    """What a part may have to wait for, by name: the agents."""
    outputs: Mapping[str, pulumi.Input[object]] = field(default_factory=dict)
    """What a person needs next; never a secret."""

    def connections_of(self, agent: str) -> dict[str, Connection]:
        """What is offered to one agent, by the name of the part."""
        return {part: offered[agent] for part, offered in self.connections.items() if agent in offered}

    def extended(self, part: str, offer: Offer) -> Context:
        """Return what the parts after `part` find, with what that offers."""
        return replace(
            self,
            namespaces=offer.namespaces or self.namespaces,
            prometheus=offer.prometheus or self.prometheus,
            connections={**self.connections, part: offer.connections},
            ready={**self.ready, **offer.ready},
            outputs={**self.outputs, **offer.outputs},
        )


Builder = Callable[[Settings, Context, pulumi.ResourceOptions], Offer]
"""Builds a part, as children of the given options' parent, from all settings and what is there already."""
