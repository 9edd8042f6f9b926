"""The workflows that the stack mounts, read again when it changes them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn

from pydantic import ValidationError

from agentstack_runtime.telemetry import get_logger

from .model import Workflow

INTERVAL: Final = 5.0
"""Seconds between two looks. The kubelet itself takes up to a minute to bring a change."""

log = get_logger(__name__)


class Catalogue:
    """The workflows of a folder: one `*.json` a workflow.

    A folder that is missing or wrong leaves what was there before; the log says so once a change.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._workflows: dict[str, Workflow] = {}
        self._seen: str | None = None
        self.reload()

    def lookup(self, name: str) -> Workflow | None:
        """Return the workflow of that name, or None."""
        return self._workflows.get(name)

    @property
    def workflows(self) -> Mapping[str, Workflow]:
        """All of them, by name."""
        return self._workflows

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in order."""
        return tuple(sorted(self._workflows))

    def reload(self) -> bool:
        """Read the folder, if its content is another than before; return whether it was taken over."""
        try:
            files = {path.name: path.read_bytes() for path in sorted(self._folder().glob("*.json"))}
        except OSError as error:
            return self._keep(f"unreadable: {error.strerror}", repr(error.errno))
        digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()
        if digest == self._seen:
            return False
        try:
            loaded = [Workflow.model_validate_json(content) for content in files.values()]
        except ValidationError as error:
            return self._keep(f"{error.error_count()} mistakes, the first: {_first(error)}", digest)
        if not loaded:
            return self._keep("no *.json in it", digest)
        self._seen = digest
        self._workflows = {workflow.name: workflow for workflow in loaded}
        log.info("workflows loaded", workflows=list(self.names))
        return True

    async def watch(self, interval: float = INTERVAL) -> NoReturn:
        """Look for changes every `interval` seconds, for ever."""
        while True:
            await asyncio.sleep(interval)
            await asyncio.to_thread(self.reload)

    def _folder(self) -> Path:
        # The kubelet swaps this link whole; resolved once, all files are of one state.
        mounted = self._directory / "..data"
        return mounted.resolve(strict=True) if mounted.is_symlink() else self._directory.resolve(strict=True)

    def _keep(self, reason: str, seen: str) -> bool:
        if seen != self._seen:
            self._seen = seen
            log.error("workflows not loaded, those before stay", directory=str(self._directory), reason=reason)
        return False


def _first(error: ValidationError) -> str:
    mistake = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, mistake['loc'])) or 'the file'}: {mistake['msg']}"
