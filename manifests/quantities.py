"""Amounts as Kubernetes writes them: of CPU, memory and storage, and shares of a number of pods."""

from __future__ import annotations

import functools
import re
from decimal import Decimal, InvalidOperation
from typing import Any

from .fields import get

_SUFFIXES = {
    "m": Decimal("0.001"),
    "k": Decimal(1000),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("MGTPE", start=2)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}

_GREATEST = Decimal(2**63 - 1)
"""Kubernetes takes this for everything above."""


@functools.lru_cache(maxsize=1024)
def quantity(value: str | float) -> Decimal:
    """Read a Kubernetes quantity, such as `500m`, `2Gi` or `1e3`, in its base unit.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
    Raises `ValueError` for what is none.
    """
    number, factor = str(value), Decimal(1)
    for length in (2, 1):
        if number[-length:] in _SUFFIXES:
            number, factor = number[:-length], _SUFFIXES[number[-length:]]
            break
    try:
        read = Decimal(number)
    except InvalidOperation:
        read = Decimal("NaN")
    if not read.is_finite():
        raise ValueError("is not a Kubernetes quantity")
    return min(min(read, _GREATEST) * factor, _GREATEST)


def amount_text(amount: Decimal, resource: str) -> str:
    """Write an amount in the unit that people use: cores, `Mi` or `Gi`, or a plain number."""
    if not resource.endswith("memory"):
        return f"{amount.normalize():f}"
    mebibytes = float(amount) / 1024**2
    return f"{mebibytes / 1024:.4g}Gi" if mebibytes >= 1024 else f"{mebibytes:.4g}Mi"


def amount(value: Any, *path: str) -> Decimal | None:
    """Return the quantity at `path`, or None where there is none; raises as `get` does."""
    found = get(value, *path)
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        return None
    try:
        return quantity(found)
    except ValueError:
        return None


def share_of(value: Any, whole: int, *, up: bool) -> int | None:
    """Resolve what Kubernetes calls an IntOrString: a number, or a percentage of `whole`, rounded up or down.

    None for anything else. https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#max-unavailable
    """
    if isinstance(value, str) and re.fullmatch(r"\d{1,3}%", value, re.ASCII):
        hundredths = int(value[:-1]) * whole
        return -(-hundredths // 100) if up else hundredths // 100
    return value if isinstance(value, int) else None
