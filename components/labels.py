"""The labels of every object, in one place: a selector must never change."""

from __future__ import annotations

import re

_PREFIX = "app.kubernetes.io"
PART_OF = {f"{_PREFIX}/part-of": "agentstack"}


def selector(name: str, component: str) -> dict[str, str]:
    """Labels that stay for ever, fit for selectors: without the version.

    `name` is the program (`redis`, or an agent's name), `component` its role (`state`, `agent`).
    """
    return {f"{_PREFIX}/name": name, f"{_PREFIX}/component": component, **PART_OF}


def labels(name: str, component: str, version: str | None = None) -> dict[str, str]:
    """All recommended labels: those of `selector`, the manager, and the version where there is one.

    https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/
    """
    # A tag may be longer than a label's value, or end where that may not; then the label is left out.
    fits = version is not None and re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", version)
    versioned = {f"{_PREFIX}/version": version} if version is not None and fits else {}
    return {**selector(name, component), f"{_PREFIX}/managed-by": "pulumi", **versioned}
