"""Who may connect to whom by the NetworkPolicies of a stack.

It follows https://kubernetes.io/docs/concepts/services-networking/network-policies/, for TCP between pods of the stack.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal

from .fields import Placed, get, mapping, objects, placed, strings, text, whole
from .manifest import Manifest
from .stack import Stack, selects
from .workloads import container_ports, namespace_of

Direction = Literal["Ingress", "Egress"]

POD_ADDRESS: Final = ipaddress.ip_address("10.244.0.5")
"""Where networks put pods; one that takes pods for their addresses lets them through a rule for those."""
_NAME: Final = "kubernetes.io/metadata.name"


@dataclass(frozen=True)
class Opening:
    """One rule of a NetworkPolicy, in one direction."""

    policy: Manifest
    rule: Placed
    peers: Mapping[int, Manifest] | None
    """The workloads on the other side by their `id`; None: any."""


@dataclass
class Isolation:
    """What the policies say of one workload's pods in one direction; without policy everything is allowed."""

    policies: list[Manifest] = field(default_factory=list)
    openings: list[Opening] = field(default_factory=list)


class Network:
    """The NetworkPolicies of a stack."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._isolation: dict[tuple[int, Direction], Isolation] = defaultdict(Isolation)
        for policy in stack.of_kind("NetworkPolicy"):
            selected = list(stack.selected(namespace_of(policy), mapping(policy, "spec", "podSelector")))
            for direction in directions(policy):
                rules = placed(policy, "spec", direction.lower())
                openings = [Opening(policy, rule, self._peers(policy, rule, direction)) for rule in rules]
                for workload in selected:
                    isolation = self._isolation[id(workload), direction]
                    isolation.policies.append(policy)
                    isolation.openings += openings

    def isolation(self, workload: Manifest, direction: Direction) -> Isolation | None:
        """What its policies say in that direction, or None if it has none."""
        return self._isolation.get((id(workload), direction))

    def allows(self, client: Manifest, server: Manifest, port: int) -> Direction | None:
        """Return None if a pod of `client` may connect to this port of a pod of `server`, else who forbids it."""
        if client is server and self._stack.replicas(client)[1] == 1:
            return None  # a pod always reaches itself
        for direction, own, other in (("Egress", client, server), ("Ingress", server, client)):
            isolation = self.isolation(own, direction)  # type: ignore[arg-type]
            if isolation is not None and not any(
                (opening.peers is None or id(other) in opening.peers) and opens(opening.rule, port, server)
                for opening in isolation.openings
            ):
                return direction  # type: ignore[return-value]
        return None

    def _peers(self, policy: Manifest, rule: Manifest, direction: Direction) -> dict[int, Manifest] | None:
        peers = objects(rule, "from" if direction == "Ingress" else "to")
        if not peers or any(_covers_pods(mapping(peer, "ipBlock")) for peer in peers):
            return None
        found: dict[int, Manifest] = {}
        for peer in peers:
            if get(peer, "ipBlock") is not None:
                continue
            for namespace in self._namespaces(policy, peer):
                for workload in self._stack.selected(namespace, mapping(peer, "podSelector")):
                    found[id(workload)] = workload
        return found

    def _namespaces(self, policy: Manifest, peer: Manifest) -> Iterator[str]:
        selector = get(peer, "namespaceSelector")
        if selector is None:
            yield namespace_of(policy)
            return
        for namespace in self._stack.namespaces_with_workloads():
            name = text(namespace, "metadata", "name")
            if selects(mapping(selector), {**mapping(namespace, "metadata", "labels"), _NAME: name}):
                yield name


def directions(policy: Manifest) -> list[Direction]:
    """The directions in which a NetworkPolicy isolates the pods that it selects."""
    types = strings(policy, "spec", "policyTypes")
    if not types:
        types = ["Ingress", "Egress"] if objects(policy, "spec", "egress") else ["Ingress"]
    return [direction for direction in ("Ingress", "Egress") if direction in types]


def opens(rule: Manifest, port: int, server: Manifest) -> bool:
    """Whether a rule of a NetworkPolicy is for this TCP port of the pods of `server`."""
    ports = objects(rule, "ports")
    return not ports or any(_is_port(item, port, server) for item in ports)


def _is_port(item: Manifest, port: int, server: Manifest) -> bool:
    if text(item, "protocol") not in ("", "TCP"):
        return False
    if get(item, "port") is None:
        return True
    name, first = text(item, "port"), whole(item, "port")
    if first is None:
        return (name, port) in container_ports(server)
    last = whole(item, "endPort")
    return first <= port <= (first if last is None else last)


def _covers_pods(block: Manifest) -> bool:
    inside = _network(text(block, "cidr"))
    if inside is None or POD_ADDRESS not in inside:
        return False
    excluded = (_network(cidr) for cidr in strings(block, "except"))
    return not any(network is not None and POD_ADDRESS in network for network in excluded)


@lru_cache(maxsize=256)
def _network(cidr: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        return None
