"""What the objects of a stack cost in a month, at least and at most, by a price list.

Counted is what keeps nodes and disks from others, as OpenCost and the clouds' own allocations count it: the CPU, memory
and devices that pods request, and the storage that claims ask for. What is known only at run time is not in it: use
above the requests, what nobody requested of a node, the control plane, load balancers, traffic, snapshots, and calls
of model APIs. Neither are the pods that an update adds for minutes.
https://opencost.io/docs/specification
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal
from functools import cached_property
from typing import Any, Final

from manifests.capacity import NamespaceCapacity, Workload, capacity
from manifests.cron import runs_per_month
from manifests.fields import get, mapping, objects, text
from manifests.labels import TEAM
from manifests.manifest import Manifest, identity, object_title
from manifests.quantities import amount
from manifests.workloads import kind_of, namespace_of, pod_spec, pod_template

from .prices import DEFAULT_CLASS, Prices

PLATFORM: Final = "platform"
"""The team of everything that belongs to no agent."""
NO_TEAM: Final = "no team"
"""Stands for the team of an agent that names none; no team can be called so."""
AT_MOST: Final = "at-most"
AT_LEAST: Final = "at-least"

_ZERO: Final = Decimal(0)
_GIB: Final = Decimal(1024) ** 3
_SECONDS_PER_HOUR: Final = Decimal(3600)
_PLACES: Final = Decimal("1e-8")
_WIDE: Final = Context(prec=100)
_AGENT = re.compile(r"agent(-.*)?|fleet")
"""The label `app.kubernetes.io/component` of what runs an agent, its candidate, or its fleet's controller."""


@dataclass(frozen=True)
class Span:
    """An amount at least and at most; of money in a month unless said otherwise."""

    low: Decimal = _ZERO
    high: Decimal = _ZERO

    def __add__(self, other: Span) -> Span:
        return Span(self.low + other.low, self.high + other.high)

    def __sub__(self, other: Span) -> Span:
        return Span(self.low - other.low, self.high - other.high)

    def __mul__(self, factor: Decimal) -> Span:
        return Span(self.low * factor, self.high * factor)


def figure_of(span: Span, figure: str) -> Decimal:
    """Return the end of `span` that `figure`, `AT_MOST` or `AT_LEAST`, names."""
    return span.low if figure == AT_LEAST else span.high


@dataclass(frozen=True)
class Usage:
    """What is asked for at the least and the greatest number of pods."""

    pods: Span = Span()
    cpu_requests: Span = Span()
    """In cores."""
    cpu_limits: Span = Span()
    memory_requests: Span = Span()
    """In bytes."""
    memory_limits: Span = Span()
    storage: Span = Span()
    """In bytes."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.pods + other.pods,
            self.cpu_requests + other.cpu_requests,
            self.cpu_limits + other.cpu_limits,
            self.memory_requests + other.memory_requests,
            self.memory_limits + other.memory_limits,
            self.storage + other.storage,
        )


@dataclass(frozen=True)
class Cost:
    """Money in a month, by what it is paid for."""

    cpu: Span = Span()
    memory: Span = Span()
    gpu: Span = Span()
    storage: Span = Span()

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.cpu + other.cpu, self.memory + other.memory, self.gpu + other.gpu, self.storage + other.storage
        )

    @property
    def total(self) -> Span:
        """All of it."""
        return self.cpu + self.memory + self.gpu + self.storage


@dataclass(frozen=True)
class Item:
    """One workload with its claims, or a claim that stands alone."""

    kind: str
    namespace: str
    name: str
    team: str
    """`PLATFORM` and `NO_TEAM` included."""
    agent: str | None
    usage: Usage
    cost: Cost

    @property
    def title(self) -> str:
        """Its identity as people write it: `StatefulSet/data/redis`."""
        return object_title(self.kind, self.namespace, self.name)


@dataclass(frozen=True)
class Share:
    """What a team, an agent or the whole asks for and costs."""

    usage: Usage = Usage()
    cost: Cost = Cost()

    def __add__(self, other: Share) -> Share:
        return Share(self.usage + other.usage, self.cost + other.cost)


@dataclass(frozen=True)
class Costs:
    """What a stack costs in a month."""

    prices: Prices
    items: tuple[Item, ...]
    unpriced: tuple[str, ...] = field(default=())
    """Extended resources that pods ask for and the price list does not have: they are not in the sums."""
    per_node: bool = False
    """Whether there are DaemonSets: they are counted for one node, and cost as much on each other one."""

    @property
    def total(self) -> Span:
        """All items."""
        return self.whole.cost.total

    @cached_property
    def whole(self) -> Share:
        """All items."""
        return sum((Share(item.usage, item.cost) for item in self.items), Share())

    @cached_property
    def teams(self) -> dict[str, Share]:
        """By team, in the order of their names, those without one and the platform last."""
        return self._by(lambda item: item.team)

    @cached_property
    def agents(self) -> dict[tuple[str, str | None], Share]:
        """By team and agent; no agent stands for what belongs to none."""
        return self._by(lambda item: (item.team, item.agent))

    def _by(self, key: Callable[[Item], Any]) -> dict[Any, Share]:
        found: dict[Any, Share] = {}
        last = (NO_TEAM, PLATFORM)
        ordered = sorted(self.items, key=lambda item: (item.team in last, item.team, item.agent or ""))
        for item in ordered:
            found[key(item)] = found.get(key(item), Share()) + Share(item.usage, item.cost)
        return found


def costs(
    manifests: Iterable[Manifest], prices: Prices, namespaces: Iterable[NamespaceCapacity] | None = None
) -> Costs:
    """Return what `manifests` cost; `namespaces` is their `capacity`, if it is at hand.

    Missing and mistyped fields count as not given. Raises `UnknownValueError` where a value that counts is unknown
    before deployment.
    """
    manifests = list(manifests)
    items: list[Item] = []
    unpriced: set[str] = set()
    per_node = False
    for namespace in capacity(manifests) if namespaces is None else namespaces:
        for workload in namespace.workloads:
            items.append(_of_workload(workload, prices))
            per_node |= workload.kind == "DaemonSet"
            if workload.maximum:
                unpriced |= {name for name, _ in workload.where.devices if name not in prices.gpu_hour}
    templated = {prefix for manifest in manifests for prefix in _templated(manifest)}
    for manifest in manifests:
        if (get(manifest, "kind"), get(manifest, "apiVersion")) == _CLAIM:
            prefix, _, ordinal = identity(manifest)[2].rpartition("-")
            if not (ordinal.isdecimal() and (namespace_of(manifest), prefix) in templated):
                items.append(_of_claim(manifest, prices))
    return Costs(prices, tuple(sorted(items, key=lambda item: item.title)), tuple(sorted(unpriced)), per_node)


_CLAIM: Final = ("PersistentVolumeClaim", "v1")


def money(value: Decimal) -> str:
    """Write an amount of money, with cents and without the currency: `1,234.50`."""
    return f"{value:,.2f}"


def _of_workload(workload: Workload, prices: Prices) -> Item:
    manifest = workload.manifest
    pods = Span(Decimal(workload.minimum), Decimal(workload.maximum))
    asked = {resource: pods * each for resource, each in workload.pod.items()}
    hours = _hours(workload, prices)
    factor = prices.spot_factor.get(workload.where.pool or "", Decimal(1))
    running = Span(pods.low * hours.low * factor, pods.high * hours.high * factor)
    gpus = sum((prices.gpu_hour.get(name, _ZERO) * count for name, count in workload.where.devices), _ZERO)
    storage, paid = _claims(manifest, pods, prices)
    return Item(
        workload.kind,
        namespace_of(manifest),
        workload.name,
        *_owner(manifest),
        Usage(
            pods,
            asked["requests.cpu"],
            asked["limits.cpu"],
            asked["requests.memory"],
            asked["limits.memory"],
            storage,
        ),
        Cost(
            cpu=_rounded(running * (workload.pod["requests.cpu"] * prices.vcpu_hour)),
            memory=_rounded(running * (workload.pod["requests.memory"] / _GIB * prices.memory_gib_hour)),
            gpu=_rounded(running * gpus),
            storage=_rounded(paid),
        ),
    )


def _rounded(span: Span) -> Span:
    """Round, far below a cent: so that sums are the same in whichever order they are made."""
    return Span(span.low.quantize(_PLACES, context=_WIDE), span.high.quantize(_PLACES, context=_WIDE))


def _hours(workload: Workload, prices: Prices) -> Span:
    """Return for how many hours of a month each of its pods is paid."""
    month = prices.hours_per_month
    if not workload.ends:
        return Span(month, month)
    # It may end at once, and then costs nothing worth naming.
    spec = mapping(workload.manifest, "spec")
    if workload.kind == "Job":
        return Span(_ZERO, min(month, _deadline(spec, month)))
    if get(spec, "suspend") is True:
        return Span()
    runs = runs_per_month(text(spec, "schedule"))
    deadline = _deadline(mapping(spec, "jobTemplate", "spec"), month)
    if runs is None or deadline == month:
        return Span(_ZERO, month)
    # Only with `Allow`, Kubernetes' default, one run goes on beside the next.
    together = get(spec, "concurrencyPolicy") in (None, "Allow")
    return Span(_ZERO, runs * deadline if together else min(month, runs * deadline))


def _deadline(job: Mapping[str, Any], otherwise: Decimal) -> Decimal:
    """Return how many hours a run may take, retries included."""
    seconds = amount(job, "activeDeadlineSeconds")
    return otherwise if seconds is None or seconds < 0 else seconds / _SECONDS_PER_HOUR


def _claims(manifest: Manifest, pods: Span, prices: Prices) -> tuple[Span, Span]:
    """Return the bytes and the price of the claims that are made for each pod."""
    each = list(objects(manifest, "spec", "volumeClaimTemplates"))
    volumes = objects(pod_spec(manifest), "volumes")
    each += [template for volume in volumes if (template := mapping(volume, "ephemeral", "volumeClaimTemplate"))]
    size = sum((_size(claim) for claim in each), _ZERO)
    price = sum((_size(claim) / _GIB * _storage_price(claim, prices) for claim in each), _ZERO)
    return pods * size, pods * price


def _of_claim(claim: Manifest, prices: Prices) -> Item:
    size = _size(claim)
    price = size / _GIB * _storage_price(claim, prices)
    kind, _, name = identity(claim)
    usage, cost = Usage(storage=Span(size, size)), Cost(storage=_rounded(Span(price, price)))
    return Item(kind, namespace_of(claim), name, *_owner(claim), usage, cost)


def _templated(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Return namespaces and names, without the ordinal, of the claims that a StatefulSet makes.

    They are counted with it. Yet a list of what runs has them as well, and so has the engine, which makes them larger.
    """
    if kind_of(manifest) == "StatefulSet":
        for template in objects(manifest, "spec", "volumeClaimTemplates"):
            yield namespace_of(manifest), f"{text(template, 'metadata', 'name')}-{identity(manifest)[2]}"


def _size(claim: Mapping[str, Any]) -> Decimal:
    return max(_ZERO, amount(claim, "spec", "resources", "requests", "storage") or _ZERO)


def _storage_price(claim: Mapping[str, Any], prices: Prices) -> Decimal:
    by_class = prices.storage_gib_month
    return by_class.get(text(claim, "spec", "storageClassName"), by_class[DEFAULT_CLASS])


def _owner(manifest: Manifest) -> tuple[str, str | None]:
    """Return the team and the agent that an object belongs to, by its labels or those of its pods."""
    labels = list(_labels(manifest))
    team = next((found for each in labels if (found := text(each, TEAM))), None)
    for each in labels:
        component, name = text(each, "app.kubernetes.io/component"), text(each, "app.kubernetes.io/name")
        if name and text(each, "app.kubernetes.io/part-of") == "agentstack" and _AGENT.fullmatch(component):
            return team or NO_TEAM, name
    return team or PLATFORM, None


def _labels(manifest: Manifest) -> Iterator[Mapping[str, Any]]:
    yield mapping(manifest, "metadata", "labels")
    yield mapping(pod_template(manifest), "metadata", "labels")
