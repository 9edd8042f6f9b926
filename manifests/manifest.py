"""One Kubernetes object as plain data, and what it is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .fields import UnknownValueError, text

Manifest = Mapping[str, Any]
"""One Kubernetes object as plain JSON data: apiVersion, kind, metadata and the rest."""


def object_title(kind: str, namespace: str, name: str) -> str:
    """Return an object as people write it: `StatefulSet/data/redis`, or `Namespace/data`."""
    return "/".join(word for word in (kind, namespace, name) if word)


def identity(manifest: Manifest) -> tuple[str, str, str]:
    """Return the kind, namespace and name in `manifest`; each is empty where it is missing or unknown."""

    def known(*path: str) -> str:
        try:
            return text(manifest, *path)
        except UnknownValueError:
            return ""

    return known("kind"), known("metadata", "namespace"), known("metadata", "name")
