"""A price list: what a vCPU, memory, storage and devices cost. Money is always `Decimal`."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from manifests.loader import MalformedError, TextLoader, load
from manifests.text import escaped, nearest, quoted

FOLDER = Path(__file__).parents[1] / "policies"
"""The folder that the configuration's names of price files are relative to: `policies`."""
DEFAULT_FILE = "prices.yaml"
DEFAULT_CLASS = "default"
"""The key of `storageGibMonth` for claims of every class that has no price of its own."""

_REQUIRED = ("currency", "vcpuHour", "memoryGibHour", "storageGibMonth")
_KNOWN = (*_REQUIRED, "hoursPerMonth", "gpuHour", "spotFactor")
_MOST = Decimal(1_000_000)
"""More than any of these costs in any currency: a mistake of the unit."""


class PriceError(ValueError):
    """A price file cannot be used; the text is one line: the file, the mistake and the mend."""


@dataclass(frozen=True)
class Prices:
    """What things cost, in one currency."""

    currency: str
    """By its code in ISO 4217, such as `USD`."""
    vcpu_hour: Decimal
    memory_gib_hour: Decimal
    storage_gib_month: Mapping[str, Decimal]
    """By StorageClass; always with `default`."""
    gpu_hour: Mapping[str, Decimal] = field(default_factory=dict)
    """By the name of the extended resource, such as `nvidia.com/gpu`."""
    spot_factor: Mapping[str, Decimal] = field(default_factory=dict)
    """The share of the hourly prices, above 0 and at most 1, that is paid in a pool of nodes, by the pool's name."""
    hours_per_month: Decimal = Decimal(730)

    @classmethod
    def of(cls, content: Any) -> Prices:
        """Make a price list of a file's content, with numbers as text or `Decimal`.

        Raises `PriceError` for the first mistake, without the file's name.
        """
        if not isinstance(content, Mapping):
            raise PriceError("must be a group of `key: value` lines: see policies/prices.yaml")
        for key in content:
            if key not in _KNOWN:
                raise PriceError(f"unknown key {_shown(key)}{nearest(key, _KNOWN)}")
        for key in _REQUIRED:
            if key not in content:
                raise PriceError(f"{key}: is missing: see policies/prices.yaml")
        currency = content["currency"]
        if not isinstance(currency, str) or not re.fullmatch("[A-Z]{3}", currency):
            raise PriceError(f"currency: {_shown(currency)} is not a code of ISO 4217: write for example `USD`")
        storage = _by_name(content, "storageGibMonth", _MOST)
        if DEFAULT_CLASS not in storage:
            raise PriceError("storageGibMonth: has no `default`: add it, for claims of every other class")
        for name in (gpus := _by_name(content, "gpuHour", _MOST)):
            if "/" not in name:
                raise PriceError(f"gpuHour: {quoted(name)} has no domain: write for example `nvidia.com/gpu`")
        factors = _by_name(content, "spotFactor", Decimal(1))
        for name, factor in factors.items():
            if not factor:
                raise PriceError(f"spotFactor.{name}: `0` makes a pool free: write the share that is paid, such as 0.4")
        hours = _number(content.get("hoursPerMonth", "730"), "hoursPerMonth", Decimal(744))
        if not hours:
            raise PriceError("hoursPerMonth: `0` makes everything free: write 730")
        return cls(
            currency=currency,
            vcpu_hour=_number(content["vcpuHour"], "vcpuHour", _MOST),
            memory_gib_hour=_number(content["memoryGibHour"], "memoryGibHour", _MOST),
            storage_gib_month=storage,
            gpu_hour=gpus,
            spot_factor=factors,
            hours_per_month=hours,
        )

    def as_json(self) -> dict[str, Any]:
        """Return what `of` reads, numbers as text."""
        return {
            "currency": self.currency,
            "hoursPerMonth": str(self.hours_per_month),
            "vcpuHour": str(self.vcpu_hour),
            "memoryGibHour": str(self.memory_gib_hour),
            "storageGibMonth": {name: str(price) for name, price in self.storage_gib_month.items()},
            "gpuHour": {name: str(price) for name, price in self.gpu_hour.items()},
            "spotFactor": {name: str(factor) for name, factor in self.spot_factor.items()},
        }


@functools.lru_cache(maxsize=8)
def read(name: str = DEFAULT_FILE) -> Prices:
    """Read a price file; `name` is relative to `policies`. Once: it does not change while a program runs.

    Raises `PriceError`.
    """
    path = FOLDER / name
    shown = f"{FOLDER.name}/{name}"
    try:
        content = _parsed(path.read_text(encoding="utf-8"))
        return Prices.of(content)
    except UnicodeDecodeError:
        raise PriceError(f"{shown}: is not UTF-8 text: save it as UTF-8") from None
    except PriceError as error:
        raise PriceError(f"{shown}: {error}") from None
    except (OSError, ValueError) as error:  # ValueError: no path at all, such as one with a null character
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        mend = "correct `prices` of the rule `monthly-budget`"
        raise PriceError(f"{shown}: cannot be read: {reason}: {mend}") from None


def _parsed(text: str) -> Any:
    try:
        return load(text, TextLoader)
    except MalformedError as error:
        raise PriceError(f"line {error.line}: {error}" if error.line else str(error)) from None


def _by_name(content: Mapping[str, Any], key: str, most: Decimal) -> dict[str, Decimal]:
    found = content.get(key) or {}
    if not isinstance(found, Mapping):
        raise PriceError(f"{key}: must be a group of `name: number` lines")
    return {str(name): _number(value, f"{key}.{escaped(str(name))}", most) for name, value in found.items()}


def _number(value: Any, path: str, most: Decimal) -> Decimal:
    try:
        number = Decimal(value) if isinstance(value, str | Decimal) else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise PriceError(f"{path}: {_shown(value)} is not a number: write for example 0.04")
    if not 0 <= number <= most:
        raise PriceError(f"{path}: {_shown(value)} is not between 0 and {most:,}: correct the number or its unit")
    return number


def _shown(value: Any) -> str:
    return quoted(value) if isinstance(value, str) else f"`{type(value).__name__}`"
