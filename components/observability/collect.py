"""What the parts bring for observability: each its own alerts and dashboards, as files in its own folder."""

from __future__ import annotations

import importlib
import pathlib
from collections.abc import Iterator

from components.parts import PARTS


def folders(name: str) -> Iterator[tuple[str, pathlib.Path]]:
    """Each part that has the folder `name`, with that folder."""
    for part in PARTS:
        room = importlib.import_module(f"components.{part.name}")
        folder = pathlib.Path(room.__path__[0], name)
        if folder.is_dir():
            yield part.name, folder


def alerts() -> dict[str, str]:
    """Return the alerts and recording rules of all parts, by file name.

    Raises ValueError where two parts have files of one name.
    """
    return _files("alerts", "*.yml")


def dashboards() -> dict[str, str]:
    """Return the dashboards of all parts, by file name.

    Raises ValueError where two parts have files of one name.
    """
    return _files("dashboards", "*.json")


def _files(folder: str, pattern: str) -> dict[str, str]:
    found: dict[str, pathlib.Path] = {}
    for _, files in folders(folder):
        for path in sorted(files.glob(pattern)):
            if path.name in found:
                raise ValueError(f"{found[path.name]} and {path} have the same name; rename one")
            found[path.name] = path
    return {name: path.read_text() for name, path in found.items()}
