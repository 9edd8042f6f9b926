"""Whether two values of a manifest mean the same, however they are written."""

from __future__ import annotations

import re
from decimal import Decimal, DecimalException
from typing import Any, Final

from manifests.quantities import quantity

from .model import ABSENT
from .similarity import Keys, canonical

_QUANTITIES: Final = frozenset({"requests", "limits", "hard", "capacity"})
"""Maps of resource quantities."""
_LIMIT_RANGE: Final = frozenset({"default", "defaultRequest", "min", "max"})
_QUANTITY: Final = frozenset({"sizeLimit", "divisor", "averageValue"})
_DURATION: Final = frozenset({"refreshInterval", "renewBefore", "backendRequest", "duration"})
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS: Final = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}


def same(before: Any, after: Any) -> bool:
    """Whether two values are the same as JSON."""
    if before is ABSENT or after is ABSENT:
        return before is after
    return before is after or canonical(before) == canonical(after)


def equal(keys: Keys, before: Any, after: Any) -> bool:
    """Whether two values mean the same: `1000m` of CPU is `1`."""
    if same(before, after):
        return True
    if isinstance(before, bool) or isinstance(after, bool):
        return False
    if not all(isinstance(value, str | int | float) for value in (before, after)):
        return False
    if _holds_quantity(keys):
        try:
            return quantity(before) == quantity(after)
        except (DecimalException, ValueError):
            return False
    if keys[-1:] and (keys[-1] in _DURATION or keys[-2:] == ("timeouts", "request")):
        old, new = _seconds(str(before)), _seconds(str(after))
        return old is not None and old == new
    return False


def _holds_quantity(keys: Keys) -> bool:
    outer, parent, last = ("", "", "", *keys)[-3:]
    return parent in _QUANTITIES or last in _QUANTITY or (outer == "limits" and parent in _LIMIT_RANGE)


def _seconds(text: str) -> Decimal | None:
    """Read a duration as Go writes it, such as `1h30m`; None for anything else."""
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum((Decimal(number) * _SECONDS[unit] for number, unit in parts), Decimal(0))
