"""What an environment costs in a month, by its own price file, and how much of its budget that is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from costs.prices import PriceError, Prices, read
from costs.stack import AT_LEAST, AT_MOST, Costs, Span, costs, figure_of, money
from manifests.capacity import NamespaceCapacity
from policies.rules import Rule
from policies.rules.budget import RULE
from settings.errors import SettingsError

_MOST_TEAMS = 3


@dataclass(frozen=True)
class Pricing:
    """By what the cost of an environment is reckoned and judged."""

    prices: Prices
    budget: Decimal | None = None
    """For a month; none if absent."""
    figure: str = AT_MOST
    """What must fit into the budget: `at-most` or `at-least`."""

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> Pricing:
        """Read what the rule `monthly-budget` is configured with; the default prices where it is disabled.

        Raises `SettingsError` for a price file that cannot be used.
        """
        config: Mapping[str, Any] = next((rule.config for rule in rules if rule.id == RULE), {})
        try:
            prices = read(config["prices"]) if "prices" in config else read()
        except PriceError as error:
            raise SettingsError(str(error)) from None
        monthly = config.get("monthly")
        return cls(prices, None if monthly is None else Decimal(str(monthly)), config.get("figure", AT_MOST))

    def estimate(
        self, objects: Iterable[Mapping[str, Any]], namespaces: Iterable[NamespaceCapacity] | None = None
    ) -> Estimate:
        """Return what `objects` cost; `namespaces` is their capacity, if it is at hand."""
        return Estimate(self, costs(objects, self.prices, namespaces))


@dataclass(frozen=True)
class Estimate:
    """What an environment costs, and what it may cost."""

    pricing: Pricing
    costs: Costs

    @property
    def over(self) -> bool:
        """Whether it is above the budget."""
        budget = self.pricing.budget
        return budget is not None and figure_of(self.costs.total, self.pricing.figure) > budget


def span_text(span: Span) -> str:
    """Write an amount of money at least and at most, without the currency."""
    low, high = money(span.low), money(span.high)
    return low if low == high else f"{low} to {high}"


def change_text(before: Decimal, after: Decimal) -> str:
    """Write by how much an amount of money grows or shrinks; empty where that is less than a cent."""
    text = f"{after - before:+,.2f}"
    return "" if text in ("+0.00", "-0.00") else text


def line(estimate: Estimate) -> str:
    """Write an estimate in one line: the whole, of which budget, and the teams that cost most."""
    found, pricing = estimate.costs, estimate.pricing
    text = f"{span_text(found.total)} {pricing.prices.currency} a month"
    if pricing.budget is not None:
        text += f" of {money(pricing.budget)}{' at least' if pricing.figure == AT_LEAST else ''}"
    teams = sorted(found.teams.items(), key=lambda item: -item[1].cost.total.high)
    named = [f"{team} {span_text(share.cost.total)}" for team, share in teams[:_MOST_TEAMS]]
    if len(teams) > _MOST_TEAMS:
        named.append(f"{len(teams) - _MOST_TEAMS} more")
    if named:
        text += f": {', '.join(named)}"
    if found.unpriced:
        text += f"; without {', '.join(found.unpriced)}, which has no price"
    return text
