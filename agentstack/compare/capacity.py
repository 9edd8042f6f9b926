"""What the pods of each namespace ask for in two revisions, and what its quota allows."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from pydantic import Field

from agentstack.output.document import Code, Line, Section, Table
from agentstack.output.published import Published
from agentstack.preview.published import NamespaceEntry, PodsReport, QuotaReport
from manifests.quantities import amount_text

from .snapshot import Snapshot

_FIELDS: Final = (
    ("pods", "pods", "pods"),
    ("cpu_requests", "requests.cpu", "CPU requested"),
    ("memory_requests", "requests.memory", "memory requested"),
    ("cpu_limits", "limits.cpu", "CPU limit"),
    ("memory_limits", "limits.memory", "memory limit"),
)
"""Field of a namespace's entry, resource, and how people call it."""


class NamespaceAmounts(Published):
    """What the pods of a namespace ask for: CPU in cores, memory in bytes."""

    pods: PodsReport
    cpu_requests: QuotaReport | None = Field(None, alias="requests.cpu")
    memory_requests: QuotaReport | None = Field(None, alias="requests.memory")
    cpu_limits: QuotaReport | None = Field(None, alias="limits.cpu")
    memory_limits: QuotaReport | None = Field(None, alias="limits.memory")


class CapacityChange(Published):
    """A namespace of either revision."""

    name: str
    before: NamespaceAmounts | None
    """`null` where the base does not have it."""
    after: NamespaceAmounts | None
    """`null` where it is gone."""


def section(before: Snapshot, after: Snapshot) -> Section | None:
    """What the pods of each namespace ask for, where that or a quota differs; None if it does nowhere."""
    rows: list[tuple[Line, ...]] = []
    exceeds = False
    old, new = _namespaces(before), _namespaces(after)
    for name in sorted({**old, **new}):
        for field, resource, title in _FIELDS:
            was, will_be = (getattr(side.get(name), field, None) for side in (old, new))
            texts = _text(was, resource), _text(will_be, resource)
            if texts[0] != texts[1]:
                over = _exceeds(will_be)
                exceeds = exceeds or over
                rows.append((Code(name), title, texts[0], f"{texts[1]}{' (more than the quota)' if over else ''}"))
    if not rows:
        return None
    table = Table(("namespace", "what", "before", "after"), tuple(rows))
    return Section(f"Capacity: {_pods(old)} pods before, {_pods(new)} after", (table,), "warn" if exceeds else "none")


def published(before: Snapshot, after: Snapshot) -> tuple[CapacityChange, ...]:
    """Return each namespace of either revision as published."""
    old, new = _namespaces(before), _namespaces(after)
    return tuple(
        CapacityChange(name=name, before=_amounts(old.get(name)), after=_amounts(new.get(name)))
        for name in sorted({**old, **new})
    )


def _amounts(namespace: NamespaceEntry | None) -> NamespaceAmounts | None:
    if namespace is None:
        return None
    return NamespaceAmounts(**{field: getattr(namespace, field) for field, _, _ in _FIELDS})


def _namespaces(snapshot: Snapshot) -> Mapping[str, NamespaceEntry]:
    return {namespace.name: namespace for namespace in snapshot.summary.namespaces}


def _text(amount: QuotaReport | None, resource: str) -> str:
    if amount is None:
        return "none"
    low, high = (amount_text(Decimal(str(end)), resource) for end in (amount.min, amount.max))
    quota = "" if amount.quota is None else f" of {amount_text(Decimal(str(amount.quota)), resource)}"
    return f"{low if low == high else f'{low} to {high}'}{quota}"


def _exceeds(amount: QuotaReport | None) -> bool:
    return amount is not None and amount.quota is not None and amount.max > amount.quota


def _pods(namespaces: Mapping[str, NamespaceEntry]) -> str:
    low = sum(each.pods.min for each in namespaces.values())
    high = sum(each.pods.max for each in namespaces.values())
    return str(low) if low == high else f"{low:,} to {high:,}"
