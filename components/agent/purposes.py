"""What the objects of an agent are for, and which fields of its declaration shape them."""

from __future__ import annotations

from typing import Any, Final

from components.purpose import Purpose
from manifests.fields import get
from manifests.manifest import Manifest

_CANDIDATE: Final = ("agent-canary", "agent-green")
_FLEET: Final = ("fleet",)


def _spec(thing: Manifest, *path: str) -> Any:
    return get(thing, "spec", *path)


def _pods_end(template: Any) -> str:
    grace = get(template, "spec", "terminationGracePeriodSeconds")
    return f"one has {grace} s to end: preStop + longestTask + 10"


def _run_at(thing: Manifest) -> str:
    deadline = _spec(thing, "jobTemplate", "spec", "activeDeadlineSeconds")
    return f"runs it at `{_spec(thing, 'schedule')}` in {_spec(thing, 'timeZone')}, for {deadline} s at most"


def _by_load(thing: Manifest) -> str:
    steady = _spec(thing, "behavior", "scaleDown", "stabilizationWindowSeconds")
    bounds = f"{_spec(thing, 'minReplicas')} to {_spec(thing, 'maxReplicas')}"
    return f"alone sets the number of pods, {bounds}: up at once, down after {steady} s of less load"


def _candidate_by_load(thing: Manifest) -> str:
    bounds = f"{_spec(thing, 'minReplicas')} to {_spec(thing, 'maxReplicas')}"
    return f"alone sets the number of the candidate's pods, {bounds}"


def _by_queue(thing: Manifest) -> str:
    bounds = f"{_spec(thing, 'minReplicaCount')} to {_spec(thing, 'maxReplicaCount')}"
    return f"alone sets the number of pods, {bounds}, by what waits in its queue"


def _candidate_by_queue(thing: Manifest) -> str:
    bounds = f"{_spec(thing, 'minReplicaCount')} to {_spec(thing, 'maxReplicaCount')}"
    return f"alone sets the number of the candidate's pods, {bounds}, by what waits in the queue"


def _disruptions(thing: Manifest) -> str:
    if (fewest := _spec(thing, "minAvailable")) is not None:
        return f"has node drains leave {fewest} pods"
    return f"lets node drains take {_spec(thing, 'maxUnavailable')} pod at a time"


PURPOSES: Final = (
    Purpose("Deployment", lambda thing: f"runs its pods; {_pods_end(_spec(thing, 'template'))}"),
    Purpose(
        "PodTemplate",
        lambda thing: f"what the pod of each device is made from; {_pods_end(get(thing, 'template'))}",
        ("kind", "fleet"),
    ),
    Purpose(
        "Job",
        lambda thing: (
            f"runs it once, for {_spec(thing, 'activeDeadlineSeconds')} s at most; another declaration makes "
            "another Job"
        ),
        ("kind", "job"),
    ),
    Purpose("CronJob", _run_at, ("kind", "cron", "job")),
    Purpose("HorizontalPodAutoscaler", _by_load, ("scaling", "consumes")),
    Purpose("ScaledObject", _by_queue, ("scaling",)),
    Purpose("TriggerAuthentication", "lets KEDA ask for the length of its queue, with its own login", ("scaling",)),
    Purpose("PodDisruptionBudget", _disruptions),
    Purpose("Service", lambda thing: f"its address in the cluster: http://{get(thing, 'metadata', 'name')}"),
    Purpose(
        "NetworkPolicy",
        "who may open connections to it, and it to whom",
        ("port", "metrics", "uses", "consumes", "produces", "calls", "egress", "public", "inference", "identity"),
    ),
    Purpose("CiliumNetworkPolicy", "the hosts outside that it may open connections to", ("egress", "inference")),
    Purpose(
        "ConfigMap",
        "its plain variables",
        ("port", "uses", "consumes", "produces", "calls", "env", "inference", "resilience", "shutdown"),
    ),
    Purpose("Secret", "its secret variables", ("secrets", "inference")),
    Purpose("ExternalSecret", "fetches its secrets from a store outside", ("secrets", "inference")),
    Purpose("ServiceAccount", "its identity", ("identity",)),
    Purpose(
        "Deployment",
        "runs the pods of the candidate, the version that is being released",
        ("release",),
        roles=_CANDIDATE,
    ),
    Purpose("HorizontalPodAutoscaler", _candidate_by_load, ("scaling", "release"), roles=_CANDIDATE),
    Purpose("ScaledObject", _candidate_by_queue, ("scaling", "release"), roles=_CANDIDATE),
    Purpose(
        "TriggerAuthentication",
        "lets KEDA ask for the length of the queue for the candidate",
        ("scaling", "release"),
        roles=_CANDIDATE,
    ),
    Purpose(
        "PodDisruptionBudget",
        lambda thing: f"lets node drains take {_spec(thing, 'maxUnavailable')} of the candidate's pods at a time",
        ("release",),
        roles=_CANDIDATE,
    ),
    Purpose(
        "Service",
        "where the gateway sends the candidate's share of the requests",
        ("public", "release"),
        roles=_CANDIDATE,
    ),
    Purpose("Deployment", "the fleet's controller: keeps one pod for each device", ("kind",), roles=_FLEET),
    Purpose("NetworkPolicy", "who may open connections to the controller, and it to whom", ("kind",), roles=_FLEET),
    Purpose("ConfigMap", "the list of the devices, and the controller's program", ("fleet",), roles=_FLEET),
    Purpose("ServiceAccount", "the controller's identity", ("kind",), roles=_FLEET),
    Purpose(
        "Role",
        "what the controller may do: make and delete pods, read the list and the template",
        ("kind",),
        roles=_FLEET,
    ),
    Purpose("RoleBinding", "gives the controller these rights", ("kind",), roles=_FLEET),
    Purpose(
        "ValidatingAdmissionPolicy",
        "holds the controller to pods of the fleet, as the template has them",
        ("kind",),
        roles=_FLEET,
    ),
    Purpose("ValidatingAdmissionPolicyBinding", "puts that in force in the agents' namespace", ("kind",), roles=_FLEET),
)
