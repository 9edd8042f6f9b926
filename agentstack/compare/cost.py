"""What a change costs: every team and agent before and after, at the same prices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property

from agentstack.output.document import Block, Code, Fold, Line, Lines, Mark, Section, Table
from agentstack.output.published import Published
from agentstack.preview import cost_report
from agentstack.preview.cost import Estimate, Pricing, change_text, span_text
from agentstack.preview.cost_report import CostReport
from costs.stack import NO_TEAM, PLATFORM, Costs, Share, Span, figure_of, money
from manifests.quantities import amount_text

from .snapshot import Snapshot

_ARROW = " → "


@dataclass(frozen=True)
class CostRow:
    """An agent, or what a team has besides, before and after; an empty share stands for what is not there."""

    teams: tuple[str, ...]
    """Whose it is; whose it was and whose it will be where that changes."""
    agent: str | None
    before: Share
    after: Share

    @property
    def change(self) -> Span:
        """Money in a month."""
        return self.after.cost.total - self.before.cost.total


@dataclass(frozen=True)
class Comparison:
    """What two revisions cost at the prices of the later one, so that the difference is what the change does."""

    before: Estimate
    after: Estimate
    reported_before: CostReport | None = None
    """What the earlier revision reported of itself, if it could."""

    @property
    def other_prices(self) -> bool:
        """Whether the earlier revision had another price list."""
        reported = self.reported_before
        return reported is not None and reported.prices != self.after.pricing.prices.as_json()

    @property
    def other_budget(self) -> bool:
        """Whether the earlier revision had another budget, or another figure had to fit into it."""
        if self.reported_before is None:
            return False
        former = self.reported_before.pricing
        return former != replace(self.after.pricing, prices=former.prices)

    @cached_property
    def rows(self) -> list[CostRow]:
        """What has other pods, requests, limits, storage or costs, or changes hands, the greatest change first."""
        before, after = _owned(self.before.costs), _owned(self.after.costs)
        nobody: tuple[str, Share] = ("", Share())
        rows = []
        for key in {**before, **after}:
            (was, earlier), (will_be, later) = before.get(key, nobody), after.get(key, nobody)
            if (was, earlier) != (will_be, later):
                teams = tuple(dict.fromkeys(team for team in (was, will_be) if team))
                rows.append(CostRow(teams, key[1], earlier, later))
        return sorted(rows, key=lambda row: (-abs(row.change.high), -abs(row.change.low), row.teams, row.agent or ""))


def _owned(costs: Costs) -> dict[tuple[str, str | None], tuple[str, Share]]:
    """Return the team and the share of each agent, and of what each team has besides."""
    found: dict[tuple[str, str | None], tuple[str, Share]] = {}
    for (team, agent), share in costs.agents.items():
        key = ("" if agent else team, agent)
        named, so_far = found.get(key, (team, Share()))
        found[key] = (named, so_far + share)
    return found


def compare(before: Snapshot, after: Snapshot) -> Comparison:
    """Reckon both revisions from their objects, with the price list and the budget that the later one reports.

    An earlier revision need not know of costs.
    """
    reported = after.summary.cost
    pricing = Pricing.of(()) if reported is None else reported.pricing
    earlier, later = (
        pricing.estimate([found.manifest for found in snapshot.objects.values()]) for snapshot in (before, after)
    )
    return Comparison(earlier, later, before.summary.cost)


def section(found: Comparison) -> Section | None:
    """Return what a change costs; None where it changes no cost, nothing that is asked for, no price and no budget."""
    if not (found.rows or found.other_prices or found.other_budget):
        return None
    mark: Mark = "bad" if found.after.over else "warn" if found.other_budget else "none"
    blocks: list[Block] = [Lines(tuple(_summary(found)), mark)]
    if found.rows:
        blocks.append(_table(found.rows))
        blocks.append(Fold("Requests, limits and storage", (_usage_table(found.rows),)))
        blocks += [Fold("By team", (table,)) for table in _teams(found)]
    return Section("What it costs", tuple(blocks), mark)


def cell(found: Comparison) -> str:
    """Return what a month costs in a few words, with the change, for a table of environments."""
    total, was = found.after.costs.total, found.before.costs.total
    change = _change(total - was)
    return f"{span_text(total)} {found.after.costs.prices.currency}{f' ({change})' if change else ''}"


class CostChange(Published):
    """What both revisions cost, at the prices and with the budget of the later one."""

    before: CostReport
    after: CostReport
    said_before: CostReport | None
    """What the earlier one reported of itself, at its own prices; `null` if it could not."""


def published(found: Comparison) -> CostChange:
    """Return both estimates as published."""
    return CostChange(
        before=cost_report.published(found.before),
        after=cost_report.published(found.after),
        said_before=found.reported_before,
    )


def _summary(found: Comparison) -> Iterator[Line]:
    before, after = found.before.costs, found.after.costs
    currency, pricing = after.prices.currency, found.after.pricing
    change = _change(after.total - before.total)
    was = f"{span_text(before.total)}{_ARROW}" if change else ""
    yield f"{was}{span_text(after.total)} {currency} a month{f' ({change})' if change else ''}"
    if pricing.budget is not None:
        left = pricing.budget - figure_of(after.total, pricing.figure)
        yield f"budget {_budget(pricing)}: {money(abs(left))} {'left' if left >= 0 else 'too much'}"
    if (reported := found.reported_before) is not None:
        if found.other_budget:
            yield f"the budget changes: it was {_budget(reported.pricing)}"
        if found.other_prices:
            own = span_text(Span(Decimal(reported.min), Decimal(reported.max)))
            yield (
                f"the prices change: by its own, the base costs {own} {reported.currency}; above it is at the new ones"
            )
    if unpriced := sorted({*before.unpriced, *after.unpriced}):
        yield ("not in it, without a price: ", Code(", ".join(unpriced)))
    if after.per_node:
        yield "an estimate by what pods request and claims ask for; DaemonSets are counted for one node"


def _budget(pricing: Pricing) -> str:
    if pricing.budget is None:
        return "none"
    return f"{money(pricing.budget)} {pricing.prices.currency}, {pricing.figure.replace('-', ' ')}"


def _change(span: Span) -> str:
    low, high = change_text(Decimal(0), span.low), change_text(Decimal(0), span.high)
    return low if low == high else f"{low or '0.00'} to {high or '0.00'}"


def _name(row: CostRow) -> tuple[Line, Line]:
    first, *others = (_team(team) for team in row.teams)
    return (first, _ARROW, others[0]) if others else first, Code(row.agent) if row.agent else ""


def _team(team: str) -> str | Code:
    return team if team in (NO_TEAM, PLATFORM) else Code(team)


def _table(rows: list[CostRow]) -> Table:
    return Table(
        ("team", "agent", ">pods", ">at least", ">at most", ">change"),
        tuple(
            (
                *_name(row),
                _both(row, lambda share: _counts(share.usage.pods)),
                _both(row, lambda share: money(share.cost.total.low)),
                _both(row, lambda share: money(share.cost.total.high)),
                _change(row.change),
            )
            for row in rows
        ),
    )


def _usage_table(rows: list[CostRow]) -> Table:
    def cpu(share: Share) -> str:
        return f"{_amounts(share.usage.cpu_requests, 'cpu')} ({_amounts(share.usage.cpu_limits, 'cpu')})"

    def memory(share: Share) -> str:
        return f"{_amounts(share.usage.memory_requests, 'memory')} ({_amounts(share.usage.memory_limits, 'memory')})"

    return Table(
        ("team", "agent", ">CPU requested (limit)", ">memory requested (limit)", ">storage"),
        tuple(
            (
                *_name(row),
                _both(row, cpu),
                _both(row, memory),
                _both(row, lambda share: _amounts(share.usage.storage, "memory")),
            )
            for row in rows
        ),
    )


def _teams(found: Comparison) -> Iterator[Table]:
    """Return a table of the teams, where the rows of agents do not say as much."""
    before, after = found.before.costs.teams, found.after.costs.teams
    names = {**before, **after}.keys()
    rows = [CostRow((team,), None, before.get(team, Share()), after.get(team, Share())) for team in names]
    if names <= {NO_TEAM, PLATFORM}:
        return
    yield Table(
        ("team", ">at least", ">at most", ">change"),
        tuple(
            (
                _team(row.teams[0]),
                _both(row, lambda share: money(share.cost.total.low)),
                _both(row, lambda share: money(share.cost.total.high)),
                _change(row.change),
            )
            for row in rows
        ),
    )


def _both(row: CostRow, text: Callable[[Share], str]) -> str:
    before, after = text(row.before), text(row.after)
    return before if before == after else f"{before}{_ARROW}{after}"


def _counts(span: Span) -> str:
    return f"{span.low:f}" if span.low == span.high else f"{span.low:f} to {span.high:f}"


def _amounts(span: Span, resource: str) -> str:
    low, high = (amount_text(amount, resource) if amount else "0" for amount in (span.low, span.high))
    return low if low == high else f"{low} to {high}"
