"""Settings of a fleet: which devices it watches, one pod for each."""

from __future__ import annotations

import csv
import io
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, PrivateAttr, ValidationInfo, model_validator

from manifests.problems import Problem, ProblemError
from manifests.text import quoted

from .model import Model, Resources, SetsVariables
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
_DEVICE_REMEDY = "use 1 to 63 letters, digits, `-`, `_` and `.`, a letter or digit at both ends"
_DIVIDE = "divide them among several agents"
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
        raise ProblemError.of(f"{quoted(text)} is not a device id", _DEVICE_REMEDY)
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

    def problems(self) -> Iterator[Problem]:
        """There are some, not too many, and they have ids."""
        if self.last < self.first:
            what = f"{self.last} is below first {self.first}"
            yield Problem(("last",), what, "raise `last` or lower `first`")
        if self.last - self.first >= MAX_DEVICES:
            yield Problem(("last",), _too_many(self.last - self.first + 1), _DIVIDE)
        wrong = [number for number in (self.first, self.last) if not _DEVICE.fullmatch(self.device(number))]
        if wrong:
            what = f"{quoted(self.device(wrong[0]))} is not a device id"
            yield Problem(("prefix",), what, _DEVICE_REMEDY)

    def device(self, number: int) -> str:
        """Return the id of one device."""
        return f"{self.prefix}{number:0{self.digits}}"

    @property
    def ids(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(self.device(number) for number in range(self.first, self.last + 1))


class Fleet(SetsVariables):
    """The devices, from exactly one of a list, a file and a range. Their order means nothing."""

    variables: ClassVar[frozenset[str]] = frozenset({"DEVICE_ID"})

    devices: tuple[DeviceId, ...] | None = None
    file: str | None = None
    """A CSV file, relative to the agent's file: its column `deviceId`, or its only column, with or without a header."""
    range: DeviceRange | None = None
    max_unavailable: Percent = 10
    """The share of the devices, in percent, rounded down and at least one, that may be without a ready pod: while an
    update rolls, when nodes are drained, and when `pulumi up` calls the fleet ready."""

    _ids: tuple[str, ...] = PrivateAttr(default=())

    # Not in `problems`: a file is found by the validation's context, and read once.
    @model_validator(mode="after")
    def _known(self, info: ValidationInfo) -> Self:
        given = [name for name in ("devices", "file", "range") if getattr(self, name) is not None]
        if len(given) != 1:
            what = " and ".join(f"`{name}`" for name in given) + " are given" if given else "no devices"
            remedy = (
                "give one of `devices`, `file` and `range` (in an environment, set the one that does not apply to "
                "`null`)"
            )
            raise ProblemError(Problem((given[-1] if given else "devices",), what, remedy))
        if self.range is not None:
            self._ids = self.range.ids
        elif self.file is not None:
            self._ids = _read(self.file, pathlib.Path((info.context or {}).get(FOLDER, "")))
        else:
            self._ids = _checked(self.devices or (), "devices")
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
    return f"{number:,} devices are above the {MAX_DEVICES:,} that one fleet can have"


def _read(name: str, folder: pathlib.Path) -> tuple[str, ...]:
    """Return the ids in a file. Raises `ProblemError`."""
    if not name.isprintable():
        raise _in_file("a path has no control characters", "correct the path")
    path = folder / name
    try:
        if path.exists() and not path.is_file():
            raise _in_file(f"{path}: is not a regular file", "correct the path")
        if (size := path.stat().st_size) > _MAX_FILE:
            raise _in_file(f"{path}: {size:,} bytes are above the {_MAX_FILE:,} of a list", "leave out columns")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise _in_file(f"{path}: cannot be read: {error.strerror}", "correct the path") from None
    except UnicodeDecodeError:
        raise _in_file(f"{path}: is not UTF-8 text", "save it as UTF-8") from None
    cells = list(_cells(path, text))
    return _checked([cell for _, cell in cells], "file", [f"{path}:{line}" for line, _ in cells], f"{path}: ")


def _in_file(what: str, remedy: str) -> ProblemError:
    return ProblemError(Problem(("file",), what, remedy))


def _cells(path: pathlib.Path, text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines and the cells of the column with the ids. Raises `ProblemError`."""
    reader = csv.reader(io.StringIO(text))
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except csv.Error as error:
        raise _in_file(f"{path}:{reader.line_num}: malformed CSV: {error}", "correct the file") from None
    column = 0
    if rows and _COLUMN in rows[0][1]:
        column = rows[0][1].index(_COLUMN)
        rows = rows[1:]
    elif rows:
        for cell in rows[0][1]:
            if re.sub(r"[^a-z]", "", cell.lower()) in _OTHER_HEADERS:
                what = f"{path}:{rows[0][0]}: {quoted(cell)} looks like a header"
                raise _in_file(what, f"name the column of the ids `{_COLUMN}`")
        for line, row in rows:
            if any(row[1:]):
                what = f"{path}:{line}: several columns, and none is `{_COLUMN}`"
                raise _in_file(what, f"write a header, with `{_COLUMN}` above the ids")
    for line, row in rows:
        yield line, row[column] if column < len(row) else ""


def _checked(ids: Sequence[str], path: str, lines: Sequence[str] = (), source: str = "") -> tuple[str, ...]:
    """Return the ids of the list at `path`, or of the `lines` of a file. Raises `ProblemError` with the first mistakes.

    `source` is what messages about all of them begin with.
    """
    if not ids:
        remedy = "name at least one, or set `enabled: false`"
        raise ProblemError(Problem((path,), f"{source}no devices", remedy))
    if len(ids) > MAX_DEVICES:
        raise ProblemError(Problem((path,), f"{source}{_too_many(len(ids))}", _DIVIDE))
    wrong = list(_wrong(ids, path, lines))
    if len(wrong) > _SHOWN:
        wrong[_SHOWN:] = [Problem((path,), f"{source}{len(wrong) - _SHOWN:,} mistakes more like these")]
    if wrong:
        raise ProblemError(*wrong)
    return tuple(ids)


def _wrong(ids: Iterable[str], path: str, lines: Sequence[str]) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, device in enumerate(ids):
        if not _DEVICE.fullmatch(device):
            what, remedy = f"{quoted(device)} is not a device id", _DEVICE_REMEDY
        elif (other := first.setdefault(device, index)) != index:
            what, remedy = f"`{device}` stands twice, first at {lines[other] if lines else other}", "remove one of them"
        else:
            continue
        yield Problem((path,), f"{lines[index]}: {what}", remedy) if lines else Problem((path, index), what, remedy)
