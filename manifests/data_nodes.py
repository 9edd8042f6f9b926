"""Nodes of Redis and Kafka, and what their settings say.

A StatefulSet is known by its container's image. Settings are read where the images read them: arguments, variables
and mounted ConfigMaps, with variables of the container filled in.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from .documents import entries
from .fields import Placed, get, known, objects, placed, strings, text
from .manifest import Manifest
from .stack import Stack
from .workloads import pod_spec, running_containers

_REDIS: Final = re.compile(r"(?:^|/)(?:redis|valkey)(?:[:@]|$)")
_KAFKA: Final = re.compile(r"(?:^|/)(?:kafka|cp-kafka|cp-server)(?:[:@]|$)")


class DataNode:
    """A kind of data node: its StatefulSet and what its settings say."""

    def __init__(self, workload: Manifest, container: Placed, stack: Stack) -> None:
        self.workload = workload
        self.container = container
        self.pods = stack.replicas(workload)[1]
        self._variables = {
            text(variable, "name"): str(known(variable, "value"))
            for variable in objects(container, "env")
            if known(variable, "value") is not None
        }
        self._words = [*strings(container, "command"), *strings(container, "args")]
        found = list(entries(workload, stack))
        self._variables |= {entry.variable: entry.content for entry in found if entry.variable}
        self._files = "\n".join(entry.content for entry in found if not entry.variable)

    def redis(self, name: str) -> str | None:
        """A setting of Redis, of which arguments come after its file; None where it is not set."""
        if f"--{name}" in self._words[:-1]:
            return self._words[self._words.index(f"--{name}") + 1]
        values = _settings(name, r"[ \t]+").findall(self._files)
        return None if not values else self._filled(values[-1]).strip('"')

    def kafka(self, name: str) -> str | None:
        """A setting of Kafka: a variable of one of the images, or a line of a file; None where it is not set."""
        for variable in _variables_of(name):
            if variable in self._variables:
                return self._variables[variable]
        values = _settings(name, r"[ \t]*=[ \t]*").findall(self._files)
        return None if not values else self._filled(values[-1])

    def path_of(self, name: str) -> str:
        """The place of a setting in the StatefulSet: an argument, a variable, or for all others the container."""
        if f"--{name}" in self._words[:-1]:
            before = len(strings(self.container, "command"))
            number = self._words.index(f"--{name}") + 1
            place = ("command", number) if number < before else ("args", number - before)
            return self.container.at(*place)
        for variable in placed(self.container, "env"):
            if text(variable, "name") in _variables_of(name):
                return variable.path
        return self.container.path

    def claim_of(self, path: str) -> str | None:
        """The path of the mounted claim that holds `path`, or None."""
        claims = {
            text(claim, "metadata", "name") for claim in objects(self.workload, "spec", "volumeClaimTemplates")
        } | {
            text(volume, "name")
            for volume in objects(pod_spec(self.workload), "volumes")
            if get(volume, "persistentVolumeClaim") is not None or get(volume, "ephemeral") is not None
        }
        mounts = [m for m in objects(self.container, "volumeMounts") if _holds(text(m, "mountPath"), path)]
        if not mounts:
            return None
        nearest = max(mounts, key=lambda mount: len(text(mount, "mountPath")))
        return text(nearest, "mountPath").rstrip("/") if text(nearest, "name") in claims else None

    def _filled(self, value: str) -> str:
        value = value.strip()
        return re.sub(r"\$\{?(\w+)\}?", lambda found: self._variables.get(found[1], found[0]), value)


def _variables_of(name: str) -> list[str]:
    """The variables of Kafka's images for a setting; the first one that is set counts."""
    return [prefix + name.replace(".", "_").upper() for prefix in ("KAFKA_CFG_", "KAFKA_", "")]


@lru_cache(maxsize=64)
def _settings(name: str, between: str) -> re.Pattern[str]:
    return re.compile(rf"^[ \t]*{re.escape(name)}{between}(\S[^\n]*)$", re.MULTILINE)


def _holds(folder: str, path: str) -> bool:
    return bool(folder) and f"{path.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")


def _nodes(stack: Stack, image: re.Pattern[str]) -> list[DataNode]:
    found = []
    for workload in stack.of_kind("StatefulSet"):
        for container in running_containers(workload):
            if image.search(text(container, "image")):
                found.append(DataNode(workload, container, stack))
                break
    return found


def redis_nodes(stack: Stack) -> dict[int, DataNode]:
    """The Redis and Valkey StatefulSets by their `id`."""
    return {id(node.workload): node for node in _nodes(stack, _REDIS)}


def kafka_nodes(stack: Stack) -> dict[int, DataNode]:
    """The Kafka StatefulSets in KRaft mode by their `id`."""
    return {id(node.workload): node for node in _nodes(stack, _KAFKA) if node.kafka("process.roles")}
