"""What kind of workload an agent is: the defaults that differ, and what does not go with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from .model import merge

Kind = Literal["service", "fleet", "job", "cron"]

# As YAML would give them. Nothing sends requests to these pods, so none needs the pause before SIGTERM.
_ENDS: dict[str, Any] = {"probes": None, "metrics": None, "shutdown": {"preStop": "0s"}}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "fleet": {
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "200m", "memory": "128Mi"}},
        "probes": {"startup": {"path": "/healthz"}, "liveness": {"path": "/healthz"}, "readiness": {"path": "/ready"}},
        # A target and its series for each device are more than a Prometheus of ordinary size holds.
        "metrics": None,
        "shutdown": {"preStop": "0s"},
    },
    "job": _ENDS,
    "cron": _ENDS,
}

NO_RELEASE = "versions side by side are for `kind: service`"

_NO_SERVICE = "has no Service to route to"
_FOR_FLEETS = ("is for `kind: fleet`", "remove it")
REFUSED: Mapping[Kind, Mapping[str, tuple[str, str]]] = {
    "fleet": {
        "replicas": ("the devices are the number of pods", "remove it"),
        "scaling": ("the devices are the number of pods", "remove it"),
        "public": (f"a fleet {_NO_SERVICE}", "remove it"),
        "release": (NO_RELEASE, "change `image`"),
        "consumes": (
            "pods of one agent share the messages of a topic, so each device would miss most",
            "use `produces`, or consume in an agent of `kind: service`",
        ),
        "job": ("is for `kind: job` and `kind: cron`", "remove it"),
        "cron": ("is for `kind: cron`", "remove it"),
    },
    "job": {
        "replicas": ("a job has `job.completions` and `job.parallelism`", "remove it"),
        "scaling": ("a job ends, so there is nothing to scale", "use `job.parallelism`"),
        "public": (f"a job {_NO_SERVICE}", "remove it"),
        "release": (NO_RELEASE, "change `image`"),
        "fleet": _FOR_FLEETS,
        "cron": ("is for `kind: cron`", "remove it, or set `kind: cron`"),
    },
    "cron": {
        "replicas": ("a run has `job.completions` and `job.parallelism`", "remove it"),
        "scaling": ("a run ends, so there is nothing to scale", "use `job.parallelism`"),
        "public": (f"a cron agent {_NO_SERVICE}", "remove it"),
        "release": (NO_RELEASE, "change `image`"),
        "fleet": _FOR_FLEETS,
    },
    "service": {
        "fleet": ("is for `kind: fleet`", "set that, or remove it"),
        "job": ("is for `kind: job` and `kind: cron`", "set one of them, or remove it"),
        "cron": ("is for `kind: cron`", "set that, or remove it"),
    },
}
"""The fields that do not go with a kind, with the reason and the fix."""


def with_defaults(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was declared with the defaults of its kind below it."""
    kind = data.get("kind")
    return merge(_DEFAULTS.get(kind, {}) if isinstance(kind, str) else {}, data)
