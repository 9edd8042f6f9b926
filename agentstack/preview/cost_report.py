"""What an environment costs, as published: the key `cost` of a preview, and both sides of a diff's."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from pydantic import Field

from agentstack.output.published import Published, Range
from costs import stack
from costs.prices import Prices

from .cost import Estimate, Pricing


class UsageReport(Published):
    """What pods ask for: CPU in cores, memory and storage in bytes."""

    pods: Range
    cpu_requests: Range = Field(alias="requests.cpu")
    cpu_limits: Range = Field(alias="limits.cpu")
    memory_requests: Range = Field(alias="requests.memory")
    memory_limits: Range = Field(alias="limits.memory")
    storage: Range

    @classmethod
    def of(cls, usage: stack.Usage) -> UsageReport:
        """Return the usage of a share as published."""
        spans = {name: getattr(usage, name) for name in cls.model_fields}
        return cls(**{name: Range(min=float(span.low), max=float(span.high)) for name, span in spans.items()})


class Money(Published):
    """Money a month at least and at most, as text to four places."""

    min: str
    max: str


class SharedCost(Money):
    """What a part of an environment costs, and what it uses."""

    cpu: Money
    memory: Money
    gpu: Money
    storage: Money
    usage: UsageReport


class TeamCost(SharedCost):
    """What a team costs."""

    team: str


class AgentCost(SharedCost):
    """What an agent costs, or what a team has besides."""

    team: str
    agent: str | None
    """`null` for what belongs to no agent."""


class WorkloadCost(SharedCost):
    """What one workload costs."""

    kind: str
    namespace: str
    name: str
    team: str
    agent: str | None


class CostReport(Money):
    """What an environment costs in a month."""

    currency: str
    budget: str | None
    """For a month; `null` without one."""
    figure: str
    """What must fit into the budget: `at-most` or `at-least`."""
    prices: dict[str, Any]
    """The price list, as in its file."""
    unpriced: tuple[str, ...]
    """Devices without a price."""
    per_node: bool
    """Whether DaemonSets are in it, counted for one node."""
    teams: tuple[TeamCost, ...]
    agents: tuple[AgentCost, ...]
    workloads: tuple[WorkloadCost, ...]

    @property
    def pricing(self) -> Pricing:
        """By what it was reckoned and judged."""
        return Pricing(Prices.of(self.prices), None if self.budget is None else Decimal(self.budget), self.figure)


def published(estimate: Estimate) -> CostReport:
    """Return an estimate as published."""
    found, pricing = estimate.costs, estimate.pricing
    return CostReport(
        **_ends(found.total),
        currency=pricing.prices.currency,
        budget=None if pricing.budget is None else str(pricing.budget),
        figure=pricing.figure,
        prices=pricing.prices.as_json(),
        unpriced=tuple(found.unpriced),
        per_node=found.per_node,
        teams=tuple(TeamCost(team=team, **_parts(share)) for team, share in found.teams.items()),
        agents=tuple(
            AgentCost(team=team, agent=agent, **_parts(share)) for (team, agent), share in found.agents.items()
        ),
        workloads=tuple(
            WorkloadCost(
                kind=item.kind,
                namespace=item.namespace,
                name=item.name,
                team=item.team,
                agent=item.agent,
                **_parts(stack.Share(item.usage, item.cost)),
            )
            for item in found.items
        ),
    )


def _ends(span: stack.Span) -> dict[str, str]:
    return {"min": f"{span.low:.4f}", "max": f"{span.high:.4f}"}


def _parts(share: stack.Share) -> dict[str, Any]:
    cost = share.cost
    parts = {part: Money(**_ends(getattr(cost, part))) for part in ("cpu", "memory", "gpu", "storage")}
    return {**_ends(cost.total), **parts, "usage": UsageReport.of(share.usage)}
