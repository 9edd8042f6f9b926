"""Names of container images."""

from __future__ import annotations


def qualified(image: str) -> str:
    """Write out what the container runtime adds to an image's name: the registry, and its folder."""
    first, slash, _ = image.partition("/")
    if not slash:
        return f"docker.io/library/{image}"
    return image if "." in first or ":" in first or first == "localhost" else f"docker.io/{image}"
