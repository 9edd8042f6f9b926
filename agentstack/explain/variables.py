"""The variables that an agent finds, in its environment or as files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from .model import Variable
from .objects import roles

if TYPE_CHECKING:
    from agentstack.rendering.manifests import RenderedObject

_FOLDERS: Final = ("/etc/agent/config", "/etc/agent/secrets")
"""Where an agent with `reload: file` finds its variables."""


def variables(agent: str, own: Sequence[RenderedObject]) -> list[Variable]:
    """Return the variables of the agent's container, as it finds them: in its environment, or else as files."""
    data = {item.name: item.object.get("data", {}) for item in own if item.kind == "ConfigMap"}
    # Of an agent's versions, any: they find the same.
    container: Mapping[str, Any] = {}
    volumes: dict[str, Any] = {}
    for pod in _pods([item.object for item in own]):
        for one in pod["containers"]:
            if one["name"] == agent:
                container, volumes = one, {volume["name"]: volume for volume in pod.get("volumes", [])}
    found = [
        Variable(key, value, f"ConfigMap {source['configMapRef']['name']}")
        for source in container.get("envFrom", [])
        if "configMapRef" in source
        for key, value in data.get(source["configMapRef"]["name"], {}).items()
    ]
    for variable in container.get("env", []):
        origin = variable.get("valueFrom", {})
        if "secretKeyRef" in origin:
            source = _key_of(origin["secretKeyRef"], variable["name"])
        else:
            source = f"the pod's {origin.get('fieldRef', {}).get('fieldPath', 'template')}"
        found.append(Variable(variable["name"], variable.get("value"), source))
    # The controller adds it to each pod that it makes from the template.
    lists = (item.name for item in own if item.kind == "ConfigMap" and "fleet" in roles(item))
    found += [Variable("DEVICE_ID", None, f"ConfigMap {name}, a line of devices") for name in lists]
    names = {variable.name for variable in found}
    found += [variable for variable in _files(container, volumes, data) if variable.name not in names]
    return sorted(found, key=lambda variable: variable.name)


def _files(container: Mapping[str, Any], volumes: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[Variable]:
    for mount in container.get("volumeMounts", []):
        folder, volume = mount["mountPath"], volumes[mount["name"]]
        if folder not in _FOLDERS:
            continue
        if "configMap" in volume:
            name = volume["configMap"]["name"]
            for key, value in data.get(name, {}).items():
                yield Variable(key, value, f"ConfigMap {name}, in {folder}")
        for source in volume.get("projected", {}).get("sources", []):
            for item in source.get("secret", {}).get("items", []):
                held = _key_of({**source["secret"], "key": item["key"]}, item["path"])
                yield Variable(item["path"], None, f"{held}, in {folder}")


def _key_of(reference: Mapping[str, Any], variable: str) -> str:
    key = f", key {reference['key']}" if reference["key"] != variable else ""
    return f"Secret {reference['name']}{key}{', if there' if reference.get('optional') else ''}"


def _pods(value: Any) -> Iterator[Mapping[str, Any]]:
    """Return the specifications of pods in an object."""
    if isinstance(value, dict):
        if "containers" in value:
            yield value
        for item in value.values():
            yield from _pods(item)
    elif isinstance(value, list):
        for item in value:
            yield from _pods(item)
