"""What a change costs: every team and agent before and after, at the same prices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from agentstack.cost import Estimate, Pricing, change_text, span_text
from agentstack.cost import as_json as estimate_json
from policies.rules.budget import figure_of
from policies.rules.capacity import amount_text
from policies.rules.cost import NO_TEAM, PLATFORM, Share, Span, money

from .document import Block, Code, Fold, Line, Lines, Section, Table
from .snapshot import Snapshot

_ARROW = " → "


@dataclass(frozen=True)
class Row:
    """One team and agent, before and after; an empty share stands for one that is not there."""

    team: str
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
    own_before: Span | None = None
    """What the earlier revision said of itself, where its price list was another one."""

    @cached_property
    def rows(self) -> list[Row]:
        """Teams and agents whose pods, requests, limits, storage or cost differ, the greatest change first."""
        before, after = self.before.costs.agents, self.after.costs.agents
        rows = [Row(*key, before.get(key, Share()), after.get(key, Share())) for key in {**before, **after}]
        changed = [row for row in rows if row.before != row.after]
        return sorted(changed, key=lambda row: (-abs(row.change.high), -abs(row.change.low), row.team, row.agent or ""))


def compare(before: Snapshot, after: Snapshot) -> Comparison:
    """Reckon both revisions from their objects, with the price list and the budget that the later one reports.

    An earlier revision need not know of costs.
    """
    reported = after.report.get("cost")
    pricing = Pricing.from_json(reported) if reported else Pricing.of(())
    earlier, later = (
        pricing.estimate([found.manifest for found in snapshot.objects.values()]) for snapshot in (before, after)
    )
    own = before.report.get("cost")
    if own is None or own["prices"] == pricing.prices.as_json():
        return Comparison(earlier, later)
    return Comparison(earlier, later, Span(Decimal(own["min"]), Decimal(own["max"])))


def section(before: Snapshot, after: Snapshot) -> Section | None:
    """Return what a change costs; None where it changes neither a cost nor anything that is asked for."""
    found = compare(before, after)
    if not found.rows and found.own_before is None:
        return None
    blocks: list[Block] = [Lines(tuple(_summary(found)), mark="bad" if found.after.over else "none")]
    if found.rows:
        blocks.append(_table(found.rows))
        blocks.append(Fold("Requests, limits and storage", (_usage_table(found.rows),)))
        blocks += [Fold("By team", (table,)) for table in _teams(found)]
    return Section("What it costs", tuple(blocks), mark="bad" if found.after.over else "none")


def as_json(before: Snapshot, after: Snapshot) -> dict[str, Any]:
    """Return both estimates, as `agentstack.cost.as_json` has them, under `before` and `after`.

    Both are at the prices of the later revision; `ownBefore` has `min` and `max` by the earlier one's price list, where
    that is another one, else `null`.
    """
    found = compare(before, after)
    own = found.own_before
    return {
        "before": estimate_json(found.before),
        "after": estimate_json(found.after),
        "ownBefore": {"min": str(own.low), "max": str(own.high)} if own else None,
    }


def _summary(found: Comparison) -> Iterator[Line]:
    before, after = found.before.costs, found.after.costs
    currency, pricing = after.prices.currency, found.after.pricing
    change = _change(after.total - before.total)
    was = f"{span_text(before.total)}{_ARROW}" if change else ""
    yield f"{was}{span_text(after.total)} {currency} a month{f' ({change})' if change else ''}"
    if pricing.budget is not None:
        left = pricing.budget - figure_of(after.total, pricing.figure)
        state = f"{money(abs(left))} {'left' if left >= 0 else 'too much'}"
        yield f"budget {money(pricing.budget)} {currency}, {pricing.figure.replace('-', ' ')}: {state}"
    if found.own_before is not None:
        yield (
            "the price list changes as well: both figures are at the new prices; by its own the base costs "
            f"{span_text(found.own_before)}"
        )
    if unpriced := sorted({*before.unpriced, *after.unpriced}):
        yield ("not in it, without a price: ", *(Code(name) for name in unpriced))
    if after.per_node:
        yield "an estimate by what pods request and claims ask for; DaemonSets are counted for one node"


def _change(span: Span) -> str:
    low, high = change_text(Decimal(0), span.low), change_text(Decimal(0), span.high)
    return low if low == high else f"{low or '0.00'} to {high or '0.00'}"


def _name(row: Row) -> tuple[Line, Line]:
    return _team(row.team), Code(row.agent) if row.agent else ""


def _team(team: str) -> Line:
    return team if team in (NO_TEAM, PLATFORM) else Code(team)


def _table(rows: list[Row]) -> Table:
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


def _usage_table(rows: list[Row]) -> Table:
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
    rows = [Row(team, None, before.get(team, Share()), after.get(team, Share())) for team in {**before, **after}]
    if {row.team for row in rows} <= {NO_TEAM, PLATFORM}:
        return
    yield Table(
        ("team", ">at least", ">at most", ">change"),
        tuple(
            (
                _team(row.team),
                _both(row, lambda share: money(share.cost.total.low)),
                _both(row, lambda share: money(share.cost.total.high)),
                _change(row.change),
            )
            for row in rows
        ),
    )


def _both(row: Row, text: Callable[[Share], str]) -> str:
    before, after = text(row.before), text(row.after)
    return before if before == after else f"{before}{_ARROW}{after}"


def _counts(span: Span) -> str:
    return f"{span.low:f}" if span.low == span.high else f"{span.low:f} to {span.high:f}"


def _amounts(span: Span, resource: str) -> str:
    low, high = (amount_text(amount, resource) if amount else "0" for amount in (span.low, span.high))
    return low if low == high else f"{low} to {high}"
