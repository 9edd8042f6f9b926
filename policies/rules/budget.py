"""What a stack may cost."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from costs.prices import DEFAULT_FILE, PriceError, read
from costs.stack import AT_LEAST, AT_MOST, costs, figure_of, money
from manifests.manifest import Manifest
from manifests.stack import WHOLE, Stack
from policies.findings import Finding
from policies.model import Config, Rule, stack_rule

RULE: Final = "monthly-budget"
_NAMED: Final = 3


@stack_rule(
    RULE,
    "error",
    "The stack costs no more in a month than its budget.",
    subjects=lambda stack: [WHOLE] if stack.manifests else [],
    config_schema={
        "monthly": {
            "type": "number",
            "minimum": 0,
            "description": "The budget for a month, in the currency of the price file; without it nothing is judged.",
        },
        "figure": {
            "type": "string",
            "enum": [AT_MOST, AT_LEAST],
            "default": AT_MOST,
            "description": "What must fit: the cost with every workload at its greatest number of pods, or its least.",
        },
        "prices": {
            "type": "string",
            "default": DEFAULT_FILE,
            "description": "The price file of the environment, relative to `policies`.",
        },
    },
    remedy="lower replicas, requests or storage, or have `monthly` of it raised in policies/config",
    source="[Infracost guardrails](https://www.infracost.io/docs/infracost_cloud/guardrails/)",
)
def monthly_budget(_: Manifest, stack: Stack, config: Config) -> Iterator[Finding]:
    """Fires where the [estimate](cost.md) is above `monthly`, and where the price file has no price for a device."""
    if config.get("monthly") is None:
        return
    try:
        found = costs(stack.manifests, read(config["prices"]), stack.capacity)
    except PriceError as error:
        yield from (Finding(line, remedy="fix the price file") for line in str(error).splitlines())
        return
    if found.unpriced:
        yield Finding(
            f"{', '.join(found.unpriced)} has no price, so nobody can say whether the budget is kept",
            remedy=f"add it under gpuHour to policies/{config['prices']}",
        )
    figure, currency = config["figure"], found.prices.currency
    budget, cost = Decimal(str(config["monthly"])), figure_of(found.total, figure)
    if cost > budget:
        ordered = sorted(found.items, key=lambda item: (-figure_of(item.cost.total, figure), item.title))
        dearest = [f"{item.title} {money(figure_of(item.cost.total, figure))}" for item in ordered[:_NAMED]]
        yield Finding(
            f"the stack costs {figure.replace('-', ' ')} {money(cost)} {currency} a month, {money(cost - budget)} more "
            f"than its budget of {money(budget)}",
            remedy=f"lower replicas, requests or storage (most of it: {', '.join(dearest)}), or have `monthly` of "
            f"{RULE} raised in policies/config",
        )


RULES: tuple[Rule, ...] = (monthly_budget,)
