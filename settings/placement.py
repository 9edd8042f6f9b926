"""Where an agent's pods may run, and what an environment calls the kinds of nodes that it has."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from manifests.problems import Problem, ProblemError

from .model import Model
from .types import DnsSubdomain, Duration, LabelKey, LabelValue, PoolName


class Toleration(Model):
    """A taint of a pool's nodes that its pods accept."""

    key: LabelKey
    value: LabelValue | None = None
    """Absent: whatever the taint's value is."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"


class Pool(Model):
    """A kind of nodes, as the cluster labels and taints them; one without labels is every node."""

    labels: dict[LabelKey, LabelValue] = {}
    """Labels that its nodes have, all of them."""
    without: dict[LabelKey, LabelValue] = {}
    """Labels that its nodes do not have."""
    tolerations: tuple[Toleration, ...] = ()
    notice: Duration | None = Field(default=None, ge=timedelta(seconds=1), le=timedelta(hours=1))
    """How long a pod has to end when the provider takes its node back; absent: nobody takes it."""


NodeProvider = Literal["karpenter", "eks", "gke", "aks"]


def _pools(key: str, value: str, notice: int, *, tainted: bool) -> dict[str, Pool]:
    tolerations = (Toleration(key=key, value=value),) if tainted else ()
    spot = Pool(labels={key: value}, tolerations=tolerations, notice=timedelta(seconds=notice))
    # By what they are not: reserved capacity counts as on demand, and on GKE and AKS only spot nodes have the label.
    return {"spot": spot, "onDemand": Pool(without={key: value})}


PROVIDER_POOLS: dict[NodeProvider, dict[str, Pool]] = {
    # https://karpenter.sh/docs/concepts/scheduling/#well-known-labels
    # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html: two minutes
    "karpenter": _pools("karpenter.sh/capacity-type", "spot", 120, tainted=False),
    # https://docs.aws.amazon.com/eks/latest/userguide/managed-node-groups.html
    "eks": _pools("eks.amazonaws.com/capacityType", "SPOT", 120, tainted=False),
    # https://docs.cloud.google.com/kubernetes-engine/docs/concepts/spot-vms: of the 30 s, pods get the first 15,
    # unless the node pool says otherwise.
    "gke": _pools("cloud.google.com/gke-spot", "true", 15, tainted=True),
    # https://learn.microsoft.com/azure/aks/spot-node-pool
    # https://learn.microsoft.com/azure/virtual-machines/spot-vms: 30 s
    "aks": _pools("kubernetes.azure.com/scalesetpriority", "spot", 30, tainted=True),
}
"""The pools `spot` and `onDemand` as each provider labels its nodes. The taint of the same name, which AKS and GKE
Autopilot set, and GKE advises elsewhere, is tolerated."""


class Gpu(Model):
    """Graphics processors, or what else a device plugin offers, for each pod.

    Requests and limits of such a resource are equal, and its taint is tolerated.
    https://kubernetes.io/docs/tasks/manage-gpus/scheduling-gpus/
    """

    count: int = Field(default=1, ge=1, le=16)
    resource: LabelKey = "nvidia.com/gpu"
    """The name under which the cluster's device plugin offers them."""
    product: LabelValue | None = None
    """The model, as NVIDIA's GPU Feature Discovery labels nodes (`nvidia.com/gpu.product`), such as
    `NVIDIA-A100-SXM4-80GB`; any if absent."""

    def problems(self) -> Iterator[Problem]:
        """A device plugin has such a resource, and nodes have such a label."""
        if "/" not in self.resource:
            yield Problem(("resource",), f"`{self.resource}` has no domain", "write for example `nvidia.com/gpu`")
        elif self.product and not self.resource.startswith("nvidia.com/"):
            what = "is a label of NVIDIA's nodes only"
            yield Problem(("product",), what, "describe a pool with the label of yours instead")


def _not_the_systems(name: str) -> str:
    if name.startswith("system-"):
        what = f"`{name}` would let the agent push out what the cluster needs to live"
        raise ProblemError.of(what, "choose another class")
    return name


class Placement(Model):
    """Where the pods of an agent may run; without it, on every node that accepts them."""

    pool: PoolName | None = None
    """The kind of nodes: `spot` or `onDemand` as `platform.nodeProvider` has them, or one of `platform.pools`."""
    interruptible: bool = False
    """Whether a pod may vanish in the middle of its longest task because somebody else takes the task up again."""
    architecture: Literal["amd64", "arm64"] | None = None
    zones: tuple[LabelValue, ...] = ()
    """The zones of the cluster to stay in; all of them if empty."""
    priority_class: Annotated[DnsSubdomain, AfterValidator(_not_the_systems)] | None = None
    """An existing PriorityClass: who goes first, and who has to go, where nodes are full."""
    gpu: Gpu | None = None
