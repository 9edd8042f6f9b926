"""Schemas of custom resources, of the fields that the stack writes: their definitions are not part of Kubernetes.

Tighter than the definitions themselves, whose unknown fields the API server drops without a word.
"""

from __future__ import annotations

from typing import Any

_TEXT = {"type": "string", "minLength": 1}
_LABELS = {"type": "object", "additionalProperties": _TEXT, "minProperties": 1}


def _group(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    properties = required | optional
    return {"type": "object", "properties": properties, "required": [*required], "additionalProperties": False}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1}


_CILIUM_PORTS = _list(
    _group({"port": {"type": "string", "pattern": "^[0-9]{1,5}$"}, "protocol": {"enum": ["TCP", "UDP", "ANY"]}})
)
SCHEMAS: dict[tuple[str, str], dict[str, Any]] = {
    # https://external-secrets.io/latest/api/spec/#external-secrets.io/v1.ExternalSecret
    ("external-secrets.io/v1", "ExternalSecret"): _group(
        {
            "refreshInterval": {"type": "string", "pattern": "^[0-9]+s$"},
            "secretStoreRef": _group({"kind": {"enum": ["SecretStore", "ClusterSecretStore"]}, "name": _TEXT}),
            "target": _group(
                {"name": _TEXT, "creationPolicy": {"const": "Owner"}, "deletionPolicy": {"const": "Retain"}}
            ),
            "data": _list(_group({"secretKey": _TEXT, "remoteRef": _group({"key": _TEXT}, property=_TEXT)})),
        }
    ),
    # https://docs.cilium.io/en/stable/security/policy/language/
    ("cilium.io/v2", "CiliumNetworkPolicy"): _group(
        {
            "endpointSelector": _group({"matchLabels": _LABELS}),
            "egress": _list(
                _group(
                    {
                        "toPorts": _list(
                            _group(
                                {"ports": _CILIUM_PORTS},
                                rules=_group({"dns": _list(_group({"matchPattern": {"const": "*"}}))}),
                            )
                        )
                    },
                    toEndpoints=_list(_group({"matchLabels": _LABELS})),
                    toFQDNs=_list(_group({"matchName": _TEXT})),
                )
            ),
        }
    ),
}
