"""A price list: what a vCPU, memory, storage and devices cost. Money is always `Decimal`."""

from __future__ import annotations

import functools
import pathlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from manifests.loader import MalformedError, TextLoader, load
from manifests.problems import Path, Problem, ProblemError
from manifests.text import closest, quoted, suggestion

FOLDER = pathlib.Path(__file__).parents[1] / "policies"
"""The folder that the configuration's names of price files are relative to: `policies`."""
DEFAULT_FILE = "prices.yaml"
DEFAULT_CLASS = "default"
"""The key of `storageGibMonth` for claims of every class that has no price of its own."""

_REQUIRED = ("currency", "vcpuHour", "memoryGibHour", "storageGibMonth")
_HOURS = "730"
_MOST = Decimal(1_000_000)
"""More than any of these costs in any currency: a mistake of the unit."""
_NUMBERS = {"vcpuHour": _MOST, "memoryGibHour": _MOST, "hoursPerMonth": Decimal(744)}
_GROUPS = {"storageGibMonth": _MOST, "gpuHour": _MOST, "spotFactor": Decimal(1)}
_KNOWN = ("currency", *_NUMBERS, *_GROUPS)


class PriceError(ValueError):
    """A price file cannot be used; the text has one line per mistake: the file, the mistake and the remedy."""


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

        Raises `ProblemError`.
        """
        if not isinstance(content, Mapping):
            raise ProblemError.of("must be a group of `key: value` lines", "see policies/prices.yaml")
        if problems := tuple(_problems(content)):
            raise ProblemError(*problems)
        return cls(
            currency=content["currency"],
            vcpu_hour=Decimal(content["vcpuHour"]),
            memory_gib_hour=Decimal(content["memoryGibHour"]),
            storage_gib_month=_by_name(content, "storageGibMonth"),
            gpu_hour=_by_name(content, "gpuHour"),
            spot_factor=_by_name(content, "spotFactor"),
            hours_per_month=Decimal(content.get("hoursPerMonth", _HOURS)),
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
        return Prices.of(load(path.read_text(encoding="utf-8"), TextLoader))
    except UnicodeDecodeError:
        raise PriceError(f"{shown}: is not UTF-8 text: save it as UTF-8") from None
    except MalformedError as error:
        line = f"line {error.line}: " if error.line else ""
        raise PriceError(f"{shown}: {line}{error}") from None
    except ProblemError as error:
        raise PriceError("\n".join(f"{shown}: {problem}" for problem in error.problems)) from None
    except (OSError, ValueError) as error:  # ValueError: no path at all, such as one with a null character
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        remedy = "correct `prices` of the rule `monthly-budget`"
        raise PriceError(f"{shown}: cannot be read: {reason}: {remedy}") from None


def _problems(content: Mapping[str, Any]) -> Iterator[Problem]:
    unknown = [key for key in content if key not in _KNOWN]
    for key in unknown:
        yield Problem((), f"unknown key {_shown(key)}", suggestion(key, _KNOWN))
    for key in _REQUIRED:
        if key not in content and key not in {closest(name, _KNOWN) for name in unknown}:
            yield Problem((key,), "is missing", "see policies/prices.yaml")
    currency = content.get("currency", "USD")
    if not isinstance(currency, str) or not re.fullmatch("[A-Z]{3}", currency):
        yield Problem(("currency",), f"{_shown(currency)} is not a code of ISO 4217", "write for example `USD`")
    for key, most in _NUMBERS.items():
        if key in content:
            yield from _number_problems((key,), content[key], most)
    for key, most in _GROUPS.items():
        if key in content:
            yield from _group_problems(key, content[key] or {}, most)


def _number_problems(path: Path, value: Any, most: Decimal) -> Iterator[Problem]:
    try:
        number = Decimal(value) if isinstance(value, str | Decimal) else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        yield Problem(path, f"{_shown(value)} is not a number", "write for example 0.04")
    elif not 0 <= number <= most:
        what = f"{_shown(value)} is not between 0 and {most:,}"
        yield Problem(path, what, "correct the number or its unit")
    elif not number and path == ("hoursPerMonth",):
        yield Problem(path, "`0` makes everything free", f"write {_HOURS}")
    elif not number and path[0] == "spotFactor":
        yield Problem(path, "`0` makes a pool free", "write the share that is paid, such as 0.4")


def _group_problems(key: str, group: Any, most: Decimal) -> Iterator[Problem]:
    if not isinstance(group, Mapping):
        yield Problem((key,), "must be a group of `name: number` lines")
        return
    if key == "storageGibMonth" and DEFAULT_CLASS not in group:
        yield Problem((key,), "has no `default`", "add it, for claims of every other class")
    for name, value in group.items():
        if key == "gpuHour" and "/" not in str(name):
            yield Problem((key,), f"{quoted(str(name))} has no domain", "write for example `nvidia.com/gpu`")
        yield from _number_problems((key, str(name)), value, most)


def _by_name(content: Mapping[str, Any], key: str) -> dict[str, Decimal]:
    return {str(name): Decimal(value) for name, value in (content.get(key) or {}).items()}


def _shown(value: Any) -> str:
    return quoted(value) if isinstance(value, str) else f"`{type(value).__name__}`"
