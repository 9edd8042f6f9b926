"""Files inside ConfigMaps: which pods read them, and what is in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from .fields import UNKNOWN, known, known_objects
from .loader import MalformedError, load
from .manifest import Manifest
from .stack import Stack
from .workloads import namespace_of, pod_spec


class Entry(NamedTuple):
    """One entry of a ConfigMap that pods read: as a file, or as the value of a variable."""

    config_map: str
    key: str
    variable: str
    """The name of the variable; empty for a file."""
    content: str


def entries(workload: Manifest, stack: Stack) -> Iterator[Entry]:
    """What the pods of `workload` read from ConfigMaps of the stack. What is not known yet is left out."""
    namespace = namespace_of(workload)
    pod = pod_spec(workload)
    for container in (*known_objects(pod, "initContainers"), *known_objects(pod, "containers")):
        for variable in known_objects(container, "env"):
            source = known(variable, "valueFrom", "configMapKeyRef")
            for entry in _entries(stack, namespace, known(source, "name")):
                if entry.key == known(source, "key"):
                    yield entry._replace(variable=str(known(variable, "name")))
        for source in known_objects(container, "envFrom"):
            for entry in _entries(stack, namespace, known(source, "configMapRef", "name")):
                yield entry._replace(variable=entry.key)
    for volume in known_objects(pod, "volumes"):
        for source in (volume, *known_objects(volume, "projected", "sources")):
            items = [known(item, "key") for item in known_objects(source, "configMap", "items")]
            for entry in _entries(stack, namespace, known(source, "configMap", "name")):
                if not items or entry.key in items:
                    yield entry


def _entries(stack: Stack, namespace: str, name: object) -> Iterator[Entry]:
    data = known(stack.named("ConfigMap", namespace, name), "data") if isinstance(name, str) else None
    for key, content in data.items() if isinstance(data, Mapping) else ():
        if content is not UNKNOWN and isinstance(content, str):
            yield Entry(str(name), key, "", content)


@lru_cache(maxsize=256)
def parsed(content: str) -> Any:
    """The content of a YAML or JSON file, not to be changed; None for what is neither."""
    if content.lstrip()[:1] == "{":
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            return None
    try:
        return load(content)
    except (MalformedError, TypeError):  # TypeError: a key that is a list
        return None
