"""Who may connect to whom by the NetworkPolicies of a stack, and who says that it will.

What is allowed follows https://kubernetes.io/docs/concepts/services-networking/network-policies/, for TCP between pods
of the stack. Who will connect is read from what pods are given: the names of Services in variables, arguments and
mounted ConfigMaps, and for whoever scrapes metrics the annotations and scrape jobs.
"""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal

from manifests.documents import entries, parsed
from manifests.fields import UNKNOWN, get, known, known_objects, mapping, objects, strings, text, whole
from manifests.manifest import Manifest
from manifests.stack import Stack, pod_labels, selects
from manifests.workloads import WORKLOAD_KINDS, container_ports, namespace_of, pod_spec, pod_template

Direction = Literal["Ingress", "Egress"]

POD_ADDRESS: Final = ipaddress.ip_address("10.244.0.5")
"""Where networks put pods; one that takes pods for their addresses lets them through a rule for those."""
_NAME: Final = "kubernetes.io/metadata.name"


@dataclass(frozen=True)
class Opening:
    """One rule of a NetworkPolicy, in one direction."""

    policy: Manifest
    rule: Manifest
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
                rules = objects(policy, "spec", direction.lower())
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


# What is said


@dataclass(frozen=True)
class Mention:
    """A Service that a workload is told to connect to."""

    namespace: str
    service: str
    port: int | None
    """The port of the Service; None where only its name is said."""
    where: str


# Files may be large and hostile: each pattern is linear, and what stands around a word is read only if it is a name.
_HOST: Final = re.compile(r"[\w$(){}.-]+", re.ASCII)
_BEFORE: Final = re.compile(r"""([A-Za-z][A-Za-z0-9+]*)://(?:[^\s/@"']*@)?$""", re.ASCII)
_AFTER: Final = re.compile(r":(\d{1,5})(?!\w)", re.ASCII)
_SUFFIX: Final = re.compile(r"\.svc(\.cluster\.local)?$")
_LONGEST: Final = 253
_NAMES_HOST: Final = re.compile(r"HOST|ADDR|SERVER|ENDPOINT|URL|SERVICE", re.IGNORECASE)
_SCHEMES: Final = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379}


def mentions(stack: Stack) -> Mapping[int, Sequence[Mention]]:
    """By the `id` of each workload, the Services that its pods are told of. What is not known yet tells nothing."""
    services = {(namespace_of(s), text(s, "metadata", "name")): s for s in stack.of_kind("Service")}
    return {
        id(workload): list(
            dict.fromkeys(
                mention
                for place, variable, content in _told(workload, stack)
                for mention in _mentions(content, variable, namespace_of(workload), services, place)
            )
        )
        for workload in stack.of_kind(*WORKLOAD_KINDS)
    }


def unsure(stack: Stack) -> frozenset[int]:
    """The `id` of each workload that may be told of Services by what is not known yet."""
    config_maps = {namespace_of(c) for c in stack.of_kind("ConfigMap") if _has_unknown(c.get("data"))}
    return frozenset(
        id(workload)
        for workload in stack.of_kind(*WORKLOAD_KINDS)
        if namespace_of(workload) in config_maps or _has_unknown(pod_template(workload))
    )


def _has_unknown(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_has_unknown(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_has_unknown(item) for item in value)
    return value is UNKNOWN


def _told(workload: Manifest, stack: Stack) -> Iterator[tuple[str, str, str]]:
    """Where it stands, the name of the variable (empty where there is none), and what stands there."""
    pod = pod_spec(workload)
    for container in (*known_objects(pod, "initContainers"), *known_objects(pod, "containers")):
        for variable in known_objects(container, "env"):
            name, value = known(variable, "name"), known(variable, "value")
            if isinstance(name, str) and isinstance(value, str):
                yield f"the variable {name}", name, value
        for part in ("command", "args"):
            arguments = known(container, part)
            for number, argument in enumerate(arguments if isinstance(arguments, list | tuple) else ()):
                if argument is not UNKNOWN and isinstance(argument, str):
                    yield f"{part}[{number}]", "", argument
    for entry in entries(workload, stack):
        yield f'"{entry.key}" in the ConfigMap "{entry.config_map}"', entry.variable, entry.content


def _mentions(
    content: str, variable: str, namespace: str, services: Mapping[tuple[str, str], Manifest], place: str
) -> Iterator[Mention]:
    for line in content.splitlines():
        if line.lstrip()[:1] == "#":
            continue
        for match in _HOST.finditer(line):
            host = match[0].lstrip("({").rstrip("){}.")
            if len(host) > _LONGEST:
                continue
            labels = _SUFFIX.sub("", host).split(".")
            # Of several labels the last is the namespace; a single word is a host only where something says so.
            key = (labels[-1], labels[-2]) if len(labels) in (2, 3) else (namespace, host)
            service = services.get(key)
            if service is None:
                continue
            before = _BEFORE.search(line[max(0, match.start() - _LONGEST) : match.start()])
            after = _AFTER.match(line, match.end())
            port = int(after[1]) if after else None
            declared = {whole(item, "port") for item in objects(service, "spec", "ports")}
            if len(labels) == 1 and not before:
                alone = content.strip() == host and _NAMES_HOST.search(variable)
                if not (alone if port is None else port in declared):  # as in the image `redis:8`
                    continue
            if port is None and before:
                port = _SCHEMES.get(before[1].lower())
                port = port if port in declared else None
            yield Mention(*key, port, place)


def targets(service: Manifest, port: int | None, server: Manifest) -> list[int]:
    """The ports of a pod of `server` that a connection to this port of the Service reaches; None: any port of it."""
    if port is not None and get(service, "spec", "clusterIP") == "None":
        return [port]  # the name leads to the pod itself
    found = []
    for item in objects(service, "spec", "ports"):
        if port is not None and whole(item, "port") != port:
            continue
        target = get(item, "targetPort")
        if isinstance(target, str) and not target.isdecimal():
            found += [number for name, number in container_ports(server) if name == target]
            continue
        number = int(target) if isinstance(target, str) else whole(item, "targetPort")
        number = whole(item, "port") if number is None else number
        if number is not None:
            found.append(number)
    return found


# Who scrapes


@dataclass(frozen=True)
class Scraper:
    """A workload whose configuration has Prometheus's scrape jobs."""

    workload: Manifest
    jobs: Sequence[Manifest]


def scrapers(stack: Stack) -> list[Scraper]:
    """The workloads of the stack that scrape."""
    found = []
    for workload in stack.of_kind(*WORKLOAD_KINDS):
        jobs: list[Manifest] = []
        for entry in entries(workload, stack):
            if "scrape_configs" in entry.content:
                jobs += objects(parsed(entry.content), "scrape_configs")
        if jobs:
            found.append(Scraper(workload, jobs))
    return found


def scraped_ports(workload: Manifest, scraper: Scraper) -> list[int]:
    """The ports of a pod of `workload` that are scraped, by its annotations or by a job for its labels."""
    ports = set()
    annotated = annotated_port(workload) or ""
    for job in scraper.jobs:
        wanted = {name for config in objects(job, "relabel_configs") for name in _port_names(config)}
        for discovery in objects(job, "kubernetes_sd_configs"):
            if text(discovery, "role") != "pod" or not _looks_at(discovery, scraper.workload, workload):
                continue
            selectors = [item for item in objects(discovery, "selectors") if text(item, "role") == "pod"]
            if selectors and all(_meets(text(item, "label"), pod_labels(workload)) for item in selectors):
                ports |= {number for name, number in container_ports(workload) if not wanted or name in wanted}
            elif not selectors and annotated.isdecimal() and len(annotated) < 6:
                ports.add(int(annotated))
    return sorted(ports)


def _looks_at(discovery: Manifest, scraper: Manifest, workload: Manifest) -> bool:
    names = strings(discovery, "namespaces", "names")
    if get(discovery, "namespaces", "own_namespace") is True:
        names = [*names, namespace_of(scraper)]
    return not names or namespace_of(workload) in names


def annotated_port(workload: Manifest) -> str | None:
    """The port in the annotations of pods that ask to be scraped (empty where there is none), or None."""
    annotations = mapping(pod_template(workload), "metadata", "annotations")
    if get(annotations, "prometheus.io/scrape") not in ("true", True):
        return None
    port = get(annotations, "prometheus.io/port")
    return "" if port is None else str(port)


def _port_names(config: Manifest) -> Iterator[str]:
    if text(config, "action") == "keep" and strings(config, "source_labels") == [
        "__meta_kubernetes_pod_container_port_name"
    ]:
        yield from text(config, "regex").split("|")


def _meets(selector: str, labels: Mapping[str, object]) -> bool:
    pairs = [pair.partition("=") for pair in selector.split(",") if pair]
    return bool(pairs) and all(get(labels, key.strip()) == value.lstrip("=").strip() for key, _, value in pairs)
