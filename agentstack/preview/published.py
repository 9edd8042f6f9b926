"""A preview as published: what `agentstack preview --json` prints, and what a later revision reads of this one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import Field, field_serializer, field_validator

from agentstack.graph.model import Graph
from agentstack.judging.finding import PlacedFindingReport
from agentstack.output.published import Published, Range
from agentstack.rendering.registration import Registration, owners, without_secrets
from manifests.capacity import RESOURCES, NamespaceCapacity
from settings.approvals import ApprovedReplacement

from .cost_report import CostReport
from .cost_report import published as published_cost
from .placement import NodeGroup
from .report import PLACED, Component, Preview, Report


class ComponentName(Published):
    """A component that something belongs to."""

    type: str
    """Its type token, such as `agentstack:data:RedisCluster`."""
    name: str


class Registered(Published):
    """What the engine knows of a resource; a revision too old to say it leaves it out."""

    urn: str = ""
    within: tuple[ComponentName, ...] = ()
    """The components that it belongs to, the outermost first."""
    protected: bool = False
    retained: bool = False
    """Whether the object stays in the cluster when the engine deletes the resource."""
    deleted_first: bool = False
    """Whether a replacement deletes the old object before it makes the new one."""
    aliases: tuple[str, ...] = ()
    """URNs that it may have had before."""
    ignored: tuple[str, ...] = ()
    """Paths of inputs whose changes the engine passes over."""
    replaced: tuple[str, ...] = ()
    """Paths of inputs whose changes make the engine replace it, beside those of its provider."""
    provider: str | None = None
    """The URN of the engine's provider; empty for the default one."""


class ResourceEntry(Registered):
    """What the engine keeps beside objects: a random value, or a provider."""

    type: str
    name: str
    inputs: dict[str, Any]
    """`null` stands for a secret."""


class ObjectEntry(Registered):
    """One Kubernetes object."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    file: str
    """In the folder of the manifests."""


class ComponentEntry(Published):
    """A component, with how many objects of each kind belong to it directly."""

    name: str
    type: str
    """The last part of its type token."""
    objects: dict[str, int]
    children: tuple[ComponentEntry, ...]


class QuotaReport(Range):
    """An amount at least and at most, and its quota."""

    quota: int | float | None = None


class PodsReport(QuotaReport):
    """Numbers of pods."""

    jobs: int = 0
    """Those of Jobs, which end by themselves, at most."""


class WorkloadEntry(Published):
    """A workload, with its pods."""

    kind: str
    name: str
    min: int
    max: int


class NamespaceEntry(Published):
    """What the pods of a namespace ask for: CPU in cores, memory in bytes."""

    name: str
    per_node: bool = False
    """Whether DaemonSets are in it, counted for one node."""
    workloads: tuple[WorkloadEntry, ...] = ()
    pods: PodsReport
    cpu_requests: QuotaReport | None = Field(None, alias="requests.cpu")
    memory_requests: QuotaReport | None = Field(None, alias="requests.memory")
    cpu_limits: QuotaReport | None = Field(None, alias="limits.cpu")
    memory_limits: QuotaReport | None = Field(None, alias="limits.memory")


class WorkloadName(Published):
    """A workload."""

    kind: str
    name: str


class NodesEntry(Published):
    """A kind of nodes, and what can run there."""

    pool: str | None
    architecture: str | None
    zones: tuple[str, ...]
    devices: dict[str, int]
    workloads: tuple[WorkloadName, ...]
    pods: Range
    cpu_requests: Range = Field(alias="requests.cpu")
    memory_requests: Range = Field(alias="requests.memory")


class Approvals(Published):
    """What the safeguards of `platform` let through."""

    accept: tuple[str, ...] = ()
    approved_replacements: tuple[ApprovedReplacement, ...] = ()


class NodeEntry(Published):
    """One thing that is declared."""

    id: str
    """The same in every revision: `agent/orchestrator`, `topic/tasks`, `redis`."""
    kind: str
    label: str
    detail: str
    """One line more: how many, how large, how long."""
    group: str
    """Its namespace; empty outside of the stack."""
    team: str


class EdgeEntry(Published):
    """One flow, in the direction of requests or messages."""

    source: str
    target: str
    kind: str
    label: str
    """What flows: a route, keys, a model."""


class GraphEntry(Published):
    """What is declared."""

    nodes: tuple[NodeEntry, ...]
    edges: tuple[EdgeEntry, ...]


class Files(Published):
    """What writing the manifests changed."""

    written: int
    unchanged: int
    removed: int


class Summary(Published):
    """What a preview says of an environment beside its objects: as much of it as two revisions are compared by."""

    environment: str = ""
    failed: bool = False
    """Whether policies are violated."""
    facts: dict[str, str] = {}
    """What the engine keeps to refuse changes that lose data, by the path of the setting."""
    approvals: Approvals = Approvals()
    namespaces: tuple[NamespaceEntry, ...] = ()
    policies: tuple[PlacedFindingReport, ...] = ()
    """All findings."""
    cost: CostReport | None = None
    graph: Graph | None = None
    """What is declared; `null` where the settings are those of another program."""

    @field_validator("graph", mode="before")
    @classmethod
    def _of_any_version(cls, value: Any) -> Any:
        return value if isinstance(value, Graph) else Graph.from_json(value)

    @field_serializer("graph")
    def _published(self, graph: Graph | None) -> GraphEntry | None:
        return None if graph is None else GraphEntry.model_validate(graph.as_json())


class PreviewReport(Summary):
    """What `agentstack preview --json` prints."""

    folder: str = ""
    """That of the manifests."""
    resources: tuple[ResourceEntry, ...] = ()
    objects: tuple[ObjectEntry, ...] = ()
    components: tuple[ComponentEntry, ...] = ()
    places: tuple[NodesEntry, ...] = ()
    """What can run on which nodes."""
    warnings: tuple[str, ...] = ()
    outputs: dict[str, Any] = {}
    """Those of the stack; `null` for a secret."""
    files: Files | None = None


def summary(preview: Preview) -> Summary:
    """Return what two revisions are compared by, as published."""
    return Summary(**_summary(preview))


def published(report: Report) -> PreviewReport:
    """Return a report as published."""
    preview = report.preview
    by_urn = {registration.urn: registration for registration in preview.rendered.registrations}
    objects = (
        ObjectEntry(
            kind=manifest.kind,
            namespace=manifest.namespace,
            name=manifest.name,
            file=manifest.path,
            **engine_fields(manifest.registration, by_urn),
        )
        for manifest in preview.manifests.items
    )
    outputs = {key: without_secrets(value) for key, value in sorted(preview.rendered.outputs.items())}
    written = report.written
    return PreviewReport(
        **_summary(preview),
        folder=str(report.folder),
        resources=tuple(resources(preview.rendered.registrations)),
        objects=tuple(objects),
        components=tuple(map(_component, preview.components)),
        places=tuple(map(_nodes, preview.places)),
        warnings=tuple(preview.warnings),
        outputs=outputs,
        files=Files(written=written.written, unchanged=written.unchanged, removed=written.removed),
    )


def _summary(preview: Preview) -> dict[str, Any]:
    safeguards = preview.safeguards
    return {
        "environment": preview.environment,
        "failed": preview.failed,
        "facts": preview.facts,
        "approvals": Approvals(
            accept=tuple(safeguards.accept), approved_replacements=tuple(safeguards.approved_replacements)
        ),
        "namespaces": tuple(map(_namespace, preview.namespaces)),
        "policies": findings(preview),
        "cost": published_cost(preview.cost),
        "graph": preview.graph,
    }


def findings(preview: Preview) -> tuple[PlacedFindingReport, ...]:
    """Return all findings as published."""
    found = zip(preview.violations, preview.located, strict=True)
    return tuple(PlacedFindingReport.of(violation, place.file, place.line) for violation, place in found)


def resources(registrations: Iterable[Registration]) -> Iterator[ResourceEntry]:
    """Yield what the engine keeps beside objects, by URN."""
    by_urn = {registration.urn: registration for registration in registrations}
    for _, registration in sorted(by_urn.items()):
        if not registration.component and not registration.type.startswith("kubernetes:"):
            # The provider's default is what this machine happens to have: no part of what the program declares.
            ambient = {"kubeconfig": os.environ.get("KUBECONFIG")}
            given = {key: value for key, value in registration.inputs.items() if ambient.get(key) != value}
            yield ResourceEntry(
                type=registration.type,
                name=registration.name,
                inputs={key: without_secrets(value) for key, value in sorted(given.items())},
                **engine_fields(registration, by_urn),
            )


def engine_fields(registration: Registration, by_urn: Mapping[str, Registration]) -> dict[str, Any]:
    """Return what the engine knows of a resource, as `Registered` has it."""
    within = [
        ComponentName(type=owner.type, name=owner.name) for owner in owners(registration, by_urn) if owner.component
    ]
    return {
        "urn": registration.urn,
        "within": tuple(within[::-1]),
        "protected": registration.protected,
        "retained": registration.retained,
        "deleted_first": registration.deleted_first,
        "aliases": registration.aliases,
        "ignored": registration.ignored,
        "replaced": registration.replaced,
        "provider": registration.provider,
    }


def _component(component: Component) -> ComponentEntry:
    return ComponentEntry(
        name=component.name,
        type=component.type,
        objects=dict(sorted(component.kinds.items())),
        children=tuple(map(_component, component.children)),
    )


def _namespace(namespace: NamespaceCapacity) -> NamespaceEntry:
    def quota(resource: str) -> float | None:
        amount = namespace.quota.get(resource)
        return None if amount is None else float(amount)

    low, high = namespace.pods()
    pods = PodsReport(min=low, max=high, quota=quota("pods"), jobs=namespace.pods(ending=True)[1])
    amounts = {}
    for resource in RESOURCES:
        least, most = namespace.asked(resource)
        amounts[resource] = QuotaReport(min=float(least), max=float(most), quota=quota(resource))
    workloads = tuple(
        WorkloadEntry(kind=each.kind, name=each.name, min=each.minimum, max=each.maximum)
        for each in namespace.workloads
    )
    return NamespaceEntry(name=namespace.name, per_node=namespace.per_node, workloads=workloads, pods=pods, **amounts)


def _nodes(place: NodeGroup) -> NodesEntry:
    low, high = place.pods()
    amounts = {}
    for resource in PLACED:
        least, most = place.asked(resource)
        amounts[resource] = Range(min=float(least), max=float(most))
    return NodesEntry(
        pool=place.where.pool,
        architecture=place.where.architecture,
        zones=place.where.zones,
        devices=dict(place.where.devices),
        workloads=tuple(WorkloadName(kind=each.kind, name=each.name) for each in place.workloads),
        pods=Range(min=low, max=high),
        **amounts,
    )
