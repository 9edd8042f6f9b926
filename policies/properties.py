"""Properties of resources as the engine sends them, read into plain data."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.struct_pb2 import Struct, Value
from pulumi_policy import proxy
from pulumi_policy.deserialize import SPECIAL_SECRET_SIG, SPECIAL_SIG_KEY

from manifests.fields import UNKNOWN

_UNKNOWN_TEXTS: Final = frozenset(
    {
        proxy.UNKNOWN_ARCHIVE_VALUE,
        proxy.UNKNOWN_ARRAY_VALUE,
        proxy.UNKNOWN_ASSET_VALUE,
        proxy.UNKNOWN_BOOLEAN_VALUE,
        proxy.UNKNOWN_NUMBER_VALUE,
        proxy.UNKNOWN_OBJECT_VALUE,
        proxy.UNKNOWN_STRING_VALUE,
    }
)
"""What the engine sends for values that are known only after deployment."""


def plain(properties: Struct) -> dict[str, Any]:
    """Return properties as dicts, lists and whole numbers; what is unknown is `UNKNOWN`, and secrets are unwrapped."""
    return {key: _plain(value) for key, value in properties.fields.items()}


def _plain(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            return UNKNOWN if value.string_value in _UNKNOWN_TEXTS else value.string_value
        case "struct_value":
            group = plain(value.struct_value)
            return group.get("value") if group.get(SPECIAL_SIG_KEY) == SPECIAL_SECRET_SIG else group
        case "list_value":
            return [_plain(item) for item in value.list_value.values]
        case "number_value":  # always a fraction
            return int(value.number_value) if value.number_value.is_integer() else value.number_value
        case "bool_value":
            return value.bool_value
    return None
