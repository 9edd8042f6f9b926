"""Random secrets of a throw-away environment, made once and kept in a file that git ignores."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import random
from collections.abc import Callable, Mapping
from typing import Any

from settings.errors import SettingsError


class DevSecrets:
    """The secrets in one file of mode 0600.

    Without it every preview would make new passwords, and the pods of the last one could not log in.
    Raises `SettingsError` if the file cannot be used.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._values: dict[str, str] = {}
        if path.exists():
            try:
                self._values = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                raise SettingsError(f"{path}: cannot be read as JSON: remove it, and new secrets are made") from None
        self._changed = False

    def value(self, urn: str, inputs: Mapping[str, Any], make: Callable[[random.Random], str]) -> str:
        """Return the secret of the resource `urn`, made by `make` where it has none yet or its `inputs` changed."""
        key = f"{urn}@{hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:10]}"
        if key not in self._values:
            self._values[key] = make(random.SystemRandom())
            self._changed = True
        return self._values[key]

    def save(self) -> None:
        """Write the file if there is a new secret in it."""
        if not self._changed:
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self._path.with_suffix(".part")
        part.unlink(missing_ok=True)  # of a run that was killed: its mode may be another
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(self._values, file, indent=1, sort_keys=True)
        part.replace(self._path)
        self._changed = False
