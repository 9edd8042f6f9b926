"""Who will connect to whom, read from what pods are given.

A workload mentions a Service by its name in a variable, an argument or a mounted ConfigMap.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from .documents import entries
from .fields import UNKNOWN, get, known, known_placed, objects, text, whole
from .manifest import Manifest
from .stack import Stack
from .workloads import WORKLOAD_KINDS, container_ports, namespace_of, pod_spec, pod_template


@dataclass(frozen=True)
class Mention:
    """A Service that a workload is configured to connect to."""

    namespace: str
    service: str
    port: int | None
    """The port of the Service; None where only its name is said."""
    where: str
    path: str = field(compare=False)
    """The place in the workload; empty where a ConfigMap says it."""


# Files may be large and hostile: each pattern is linear, and what stands around a word is read only if it is a name.
_HOST: Final = re.compile(r"[\w$(){}.-]+", re.ASCII)
_BEFORE: Final = re.compile(r"""([A-Za-z][A-Za-z0-9+]*)://(?:[^\s/@"']*@)?$""", re.ASCII)
_AFTER: Final = re.compile(r":(\d{1,5})(?!\w)", re.ASCII)
_SUFFIX: Final = re.compile(r"\.svc(\.cluster\.local)?$")
_LONGEST: Final = 253
_NAMES_HOST: Final = re.compile(r"HOST|ADDR|SERVER|ENDPOINT|URL|SERVICE", re.IGNORECASE)
_SCHEMES: Final = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379}


def mentions(stack: Stack) -> Mapping[int, Sequence[Mention]]:
    """By the `id` of each workload, the Services that what its pods are given mentions, as far as that is known."""
    services = {(namespace_of(s), text(s, "metadata", "name")): s for s in stack.of_kind("Service")}
    return {
        id(workload): list(
            dict.fromkeys(
                mention
                for given in _given(workload, stack)
                for mention in _mentions(given, namespace_of(workload), services)
            )
        )
        for workload in stack.of_kind(*WORKLOAD_KINDS)
    }


def incomplete(stack: Stack) -> frozenset[int]:
    """The `id` of each workload of which something that its pods are given is not known yet."""
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


class _Text(NamedTuple):
    """What pods are given."""

    where: str
    path: str
    variable: str
    """Its name; empty for what is no variable."""
    content: str


def _given(workload: Manifest, stack: Stack) -> Iterator[_Text]:
    pod = pod_spec(workload)
    for container in (*known_placed(pod, "initContainers"), *known_placed(pod, "containers")):
        for variable in known_placed(container, "env"):
            name, value = known(variable, "name"), known(variable, "value")
            if isinstance(name, str) and isinstance(value, str):
                yield _Text(f"the variable {name}", variable.at("value"), name, value)
        for part in ("command", "args"):
            arguments = known(container, part)
            for number, argument in enumerate(arguments if isinstance(arguments, list | tuple) else ()):
                if argument is not UNKNOWN and isinstance(argument, str):
                    yield _Text(f"{part}[{number}]", container.at(part, number), "", argument)
    for entry in entries(workload, stack):
        yield _Text(f'"{entry.key}" in the ConfigMap "{entry.config_map}"', "", entry.variable, entry.content)


def _mentions(given: _Text, namespace: str, services: Mapping[tuple[str, str], Manifest]) -> Iterator[Mention]:
    for line in given.content.splitlines():
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
                alone = given.content.strip() == host and _NAMES_HOST.search(given.variable)
                if not (alone if port is None else port in declared):  # as in the image `redis:8`
                    continue
            if port is None and before:
                port = _SCHEMES.get(before[1].lower())
                port = port if port in declared else None
            yield Mention(*key, port, given.where, given.path)


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
