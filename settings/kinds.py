"""What kind of workload an agent is: the defaults that differ, and what does not go with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from .model import merge

if TYPE_CHECKING:
    from .agents import AgentSettings

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

_NO_SERVICE = "has no Service to route to: remove it"
_NO_RELEASE = "versions side by side are for `kind: service`: change `image`"
_REFUSED: dict[str, dict[str, str]] = {
    "fleet": {
        "replicas": "the devices are the number of pods: remove it",
        "scaling": "the devices are the number of pods: remove it",
        "public": f"a fleet {_NO_SERVICE}",
        "release": _NO_RELEASE,
        "consumes": "pods of one agent share the messages of a topic, so each device would miss most: use `produces`, "
        "or consume in an agent of `kind: service`",
        "job": "is for `kind: job` and `kind: cron`: remove it",
        "cron": "is for `kind: cron`: remove it",
    },
    "job": {
        "replicas": "a job has `job.completions` and `job.parallelism`: remove it",
        "scaling": "a job ends, so there is nothing to scale: use `job.parallelism`",
        "public": f"a job {_NO_SERVICE}",
        "release": _NO_RELEASE,
        "fleet": "is for `kind: fleet`: remove it",
        "cron": "is for `kind: cron`: remove it, or set `kind: cron`",
    },
    "cron": {
        "replicas": "a run has `job.completions` and `job.parallelism`: remove it",
        "scaling": "a run ends, so there is nothing to scale: use `job.parallelism`",
        "public": f"a cron agent {_NO_SERVICE}",
        "release": _NO_RELEASE,
        "fleet": "is for `kind: fleet`: remove it",
    },
    "service": {
        "fleet": "is for `kind: fleet`: set that, or remove it",
        "job": "is for `kind: job` and `kind: cron`: set one of them, or remove it",
        "cron": "is for `kind: cron`: set that, or remove it",
    },
}


def with_defaults(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was declared with the defaults of its kind below it."""
    kind = data.get("kind")
    return merge(_DEFAULTS.get(kind, {}) if isinstance(kind, str) else {}, data)


def mistakes(agent: AgentSettings) -> Iterator[str]:
    """Say what an agent of its kind lacks, and what does not go with it."""
    for field, why in _REFUSED[agent.kind].items():
        if getattr(agent, field) not in (None, ()):
            yield f"{field}: {why}"
    if agent.kind in ("job", "cron") and agent.reload == "file":
        yield "reload: a pod that ends reads its configuration when it starts: remove it"
    if agent.kind != "service" and agent.rollout.strategy != "rolling":
        yield f"rollout: {_NO_RELEASE}, and remove it"
    for kind in ("fleet", "cron"):
        if agent.kind == kind and getattr(agent, kind) is None:
            needed = {"fleet": "{devices: [a, b]}", "cron": "{schedule: '0 3 * * *'}"}[kind]
            yield f"{kind}: is missing: `kind: {kind}` needs it, for example `{kind}: {needed}`"
    if agent.probes is None and agent.kind in ("service", "fleet"):
        yield "probes: pods that do not end need them: remove `probes: null`"
