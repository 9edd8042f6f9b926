"""Settings of a fleet: which devices it watches, one pod for each."""

from __future__ import annotations

import csv
import io
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Self

from pydantic import AfterValidator, Field, PrivateAttr, ValidationInfo, model_validator

from manifests.text import quoted

from .model import Model, Resources
from .types import Percent

MAX_DEVICES = 16_000
"""Devices of one fleet: so many ids of 63 characters fit into one ConfigMap, which holds 1 MiB.

https://kubernetes.io/docs/concepts/configuration/configmap/#motivation
"""
CONTROLLER_RESOURCES = Resources.of("20m", "64Mi", "500m", "256Mi")
"""What the fleet's controller asks for; it keeps a few hundred bytes of each pod in memory."""
FOLDER = "folder"
"""The key of the validation context with the folder that `file` is relative to; the working directory without it."""

_DEVICE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_DEVICE_MEND = "use 1 to 63 letters, digits, `-`, `_` and `.`, a letter or digit at both ends"
_COLUMN = "deviceId"
_OTHER_HEADERS = {
    *("id", "uuid", "device", "deviceid", "devicename", "name", "host", "hostname"),
    *("mac", "macaddress", "sensor", "sensorid", "serial", "serialnumber"),
}
_MAX_FILE = 16 * 1024**2
"""Bytes of a file, 1 KiB for each device: more is another file than the one that was meant."""
_SHOWN = 5
"""Mistakes of one list that are shown at once."""


def _device(text: str) -> str:
    if not _DEVICE.fullmatch(text):
        raise ValueError(f"{quoted(text)} is not a device id: {_DEVICE_MEND}")
    return text


DeviceId = Annotated[
    str, AfterValidator(_device), Field(json_schema_extra={"pattern": f"^{_DEVICE.pattern}$", "maxLength": 63})
]
"""A device as the inventory names it; as it becomes a label of its pod, what Kubernetes takes for a label's value.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
"""


class DeviceRange(Model):
    """Devices that are numbered: `prefix` and each number from `first` to `last`."""

    prefix: str = ""
    first: int = Field(default=0, ge=0)
    last: int = Field(ge=0)
    digits: int = Field(default=1, ge=1, le=18)
    """Shorter numbers get zeroes in front: with 4, the device 7 is `0007`."""

    @model_validator(mode="after")
    def _numbered(self) -> Self:
        if self.last < self.first:
            raise ValueError(f"last: {self.last} is below first {self.first}: raise `last` or lower `first`")
        if self.last - self.first >= MAX_DEVICES:
            raise ValueError(f"last: {_too_many(self.last - self.first + 1)}")
        for number in (self.first, self.last):
            if not _DEVICE.fullmatch(self.device(number)):
                raise ValueError(f"prefix: {quoted(self.device(number))} is not a device id: {_DEVICE_MEND}")
        return self

    def device(self, number: int) -> str:
        """Return the id of one device."""
        return f"{self.prefix}{number:0{self.digits}}"

    @property
    def ids(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(self.device(number) for number in range(self.first, self.last + 1))


class Fleet(Model):
    """The devices, from exactly one of a list, a file and a range. Their order means nothing."""

    devices: tuple[DeviceId, ...] | None = None
    file: str | None = None
    """A CSV file, relative to the agent's file: its column `deviceId`, or its only column, with or without a header."""
    range: DeviceRange | None = None
    max_unavailable: Percent = 10
    """The share of the devices, in percent, rounded down and at least one, that may be without a ready pod: while an
    update rolls, when nodes are drained, and when `pulumi up` calls the fleet ready."""

    _ids: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="after")
    def _known(self, info: ValidationInfo) -> Self:
        given = [name for name in ("devices", "file", "range") if getattr(self, name) is not None]
        if len(given) != 1:
            say = " and ".join(f"`{name}`" for name in given) + " are given" if given else "no devices"
            raise ValueError(
                f"{given[-1] if given else 'devices'}: {say}: give one of `devices`, `file` and `range` (in an "
                "environment, set the one that does not apply to `null`)"
            )
        if self.range is not None:
            self._ids = self.range.ids
        elif self.file is not None:
            self._ids = _read(self.file, pathlib.Path((info.context or {}).get(FOLDER, "")))
        else:
            self._ids = _checked("devices.", self.devices or ())
        return self

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the devices, wherever they come from."""
        return self._ids

    @property
    def unavailable(self) -> int:
        """How many devices may be without a ready pod."""
        return max(1, len(self._ids) * self.max_unavailable // 100)


def _too_many(number: int) -> str:
    return f"{number:,} devices are above the {MAX_DEVICES:,} that one fleet can have: divide them among several agents"


def _read(name: str, folder: pathlib.Path) -> tuple[str, ...]:
    if not name.isprintable():
        raise ValueError("file: a path has no control characters: correct the path")
    path = folder / name
    try:
        if path.exists() and not path.is_file():
            raise ValueError(f"file: {path}: is not a regular file: correct the path")
        if (size := path.stat().st_size) > _MAX_FILE:
            raise ValueError(f"file: {path}: {size:,} bytes are above the {_MAX_FILE:,} of a list: leave out columns")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"file: {path}: cannot be read: {error.strerror}: correct the path") from None
    except UnicodeDecodeError:
        raise ValueError(f"file: {path}: is not UTF-8 text: save it as UTF-8") from None
    reader = csv.reader(io.StringIO(text))
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except csv.Error as error:
        raise ValueError(f"file: {path}:{reader.line_num}: malformed CSV: {error}") from None
    column = 0
    if rows and _COLUMN in rows[0][1]:
        column = rows[0][1].index(_COLUMN)
        rows = rows[1:]
    elif rows:
        for cell in rows[0][1]:
            if re.sub(r"[^a-z]", "", cell.lower()) in _OTHER_HEADERS:
                mend = f"name the column of the ids `{_COLUMN}`"
                raise ValueError(f"file: {path}:{rows[0][0]}: {quoted(cell)} looks like a header: {mend}")
        for line, row in rows:
            if any(row[1:]):
                mend = f"write a header, with `{_COLUMN}` above the ids"
                raise ValueError(f"file: {path}:{line}: several columns, and none is `{_COLUMN}`: {mend}")
    cells = [row[column] if column < len(row) else "" for _, row in rows]
    return _checked("file: ", cells, [f"{path}:{line}: " for line, _ in rows], empty=f"{path}: ")


def _checked(place: str, ids: Sequence[str], places: Sequence[str] | None = None, empty: str = "") -> tuple[str, ...]:
    """Return the ids. Raises `ValueError` with a line for each of the first that are wrong or stand twice."""
    if not ids:
        raise ValueError(f"{place.rstrip('.: ')}: {empty}no devices: name at least one, or set `enabled: false`")
    if len(ids) > MAX_DEVICES:
        raise ValueError(f"{place.rstrip('.: ')}: {empty}{_too_many(len(ids))}")
    heads = places or [f"{index}: " for index in range(len(ids))]
    found = list(_wrong(ids, heads))
    if found:
        more = [f"{place.rstrip('.: ')}: {empty}{len(found) - _SHOWN:,} mistakes more like these"]
        raise ValueError("\n".join([f"{place}{line}" for line in found[:_SHOWN]] + more * (len(found) > _SHOWN)))
    return tuple(ids)


def _wrong(ids: Iterable[str], heads: Sequence[str]) -> Iterator[str]:
    first: dict[str, int] = {}
    for index, device in enumerate(ids):
        if not _DEVICE.fullmatch(device):
            yield f"{heads[index]}{quoted(device)} is not a device id: {_DEVICE_MEND}"
        elif (other := first.setdefault(device, index)) != index:
            yield f"{heads[index]}`{device}` stands twice, first at {heads[other].rstrip(': ')}: remove one of them"
