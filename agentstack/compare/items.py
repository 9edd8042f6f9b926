"""By what the items of a list are told apart, as the API server does it in a patch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

_Name: TypeAlias = Callable[[Mapping[str, Any]], object]


def _by(*paths: str) -> _Name:
    """Name items by the values of these fields; None where the first has none."""

    def name(item: Mapping[str, Any]) -> object:
        found = []
        for path in paths:
            value: Any = item
            for key in path.split("."):
                value = value.get(key) if isinstance(value, Mapping) else None
            if isinstance(value, str | int):
                found.append(str(value))
        return "/".join(found) or None

    return name


def _port(number: str) -> _Name:
    def name(item: Mapping[str, Any]) -> object:
        protocol = item.get("protocol", "TCP")
        return None if number not in item else f"{item[number]}{'' if protocol == 'TCP' else f'/{protocol}'}"

    return name


# x-kubernetes-list-map-keys and x-kubernetes-patch-merge-key of
# https://github.com/kubernetes/kubernetes/blob/v1.36.0/api/openapi-spec/swagger.json; for lists that the API server
# replaces as a whole, and for custom resources, what tells their items apart. The first that does is taken.
BY_NAME: Final = _by("name")
NAMES: Final[Mapping[str, tuple[_Name, ...]]] = {
    "conditions": (_by("type"),),
    "constraints": (_by("type"),),
    "data": (_by("secretKey"),),
    "envFrom": (_by("prefix", "configMapRef.name", "secretRef.name"),),
    "hostAliases": (_by("ip"),),
    "limits": (_by("type"),),
    "matchExpressions": (_by("key"), _by("key", "operator")),
    "metrics": (_by("type", "resource.name", "containerResource.name", "pods.metric.name", "external.metric.name"),),
    "ownerReferences": (_by("uid"),),
    "parentRefs": (_by("namespace", "name", "sectionName"),),
    "paths": (_by("path"), _by("path", "pathType")),
    "ports": (_port("containerPort"), _port("port")),
    "rules": (_by("host"), BY_NAME),
    "subjects": (_by("kind", "namespace", "name"),),
    "tolerations": (_by("key", "operator", "value", "effect"),),
    "topologySpreadConstraints": (_by("topologyKey"), _by("topologyKey", "whenUnsatisfiable")),
    "triggers": (BY_NAME, _by("type", "metadata.topic", "metadata.metricName", "metadata.query")),
    "volumeClaimTemplates": (_by("metadata.name"),),
    "volumeDevices": (_by("devicePath"),),
    "volumeMounts": (_by("mountPath"),),
}
