"""The stack that a release changes: its file, its updates and their history, by Pulumi's Automation API."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from pulumi import automation

from agentstack.engine.errors import MISSING, explained
from agentstack.engine.processes import is_running
from agentstack.rendering.environment import Environment
from settings.errors import SettingsError
from settings.root import Settings

from .driver import LockedError, Update, UpdateFailedError

_AGENTS = "agentstack:agents"
_REMEMBERED = 500
"""How many updates back the history is looked at."""
# The provider refuses to create what is there already, and fields of another manager's: it has another name at each
# creation. https://www.pulumi.com/registry/packages/kubernetes/api-docs/provider/
_TAKE_OVER = dict.fromkeys(("PULUMI_K8S_UPSERT_EXISTING_OBJECTS", "PULUMI_K8S_ENABLE_PATCH_FORCE"), "true")

Agents = dict[str, Any]
"""The group `agentstack:agents` of the environment's file."""


class EngineStack:
    """The stack of an environment, in the backend that the user is logged in to.

    The files are read without the engine. What needs it raises `SettingsError` where there is none, or no such stack.
    """

    def __init__(self, environment: Environment, *, verbose: bool = False) -> None:
        self._environment = environment
        self._verbose = verbose

    @property
    def name(self) -> str:
        """Its name, which is the environment's."""
        return self._environment.name

    @functools.cached_property
    def _stack(self) -> automation.Stack:
        folder = self._environment.project.absolute()
        try:
            return automation.select_stack(self.name, work_dir=str(folder))
        except FileNotFoundError:
            raise SettingsError(MISSING) from None
        except automation.CommandError as error:
            raise SettingsError(explained(self.name, "stack select", _last_words(str(error)))) from None

    @property
    def agents(self) -> Agents:
        """The agents' settings as they stand in the environment's file now; a copy."""
        # Another `Environment`, since one reads its file once.
        return dataclasses.replace(self._environment).config.get(_AGENTS) or {}

    def checked(self, agents: Mapping[str, Any]) -> Settings:
        """Return all settings, with these agents in the place of those in the file.

        Raises `SettingsError`.
        """
        return self._environment.settings(agents=agents)

    def write(self, agents: Agents) -> None:
        """Write the agents' settings to the environment's file in one go. Comments stay, empty lines go.

        Raises `SettingsError`.
        """
        value = {"value": json.dumps(agents), "objectValue": agents, "secret": False}
        try:
            self._stack.set_all_config_json(json.dumps({_AGENTS: value}))
        except automation.CommandError as error:
            raise SettingsError(f"{self._environment.file}: cannot be changed: {_last_words(str(error))}") from None

    def up(self, message: str) -> None:
        """Deploy what the file says.

        Raises `LockedError`, or `UpdateFailedError`.
        """
        try:
            self._up(message)
        except automation.ConcurrentUpdateError as error:
            if not _left_behind(str(error)):
                raise LockedError(_last_words(str(error))) from None
            self._stack.cancel()
            self._up(message)

    def _up(self, message: str) -> None:
        echo = self._echo if self._verbose else None
        workspace = self._stack.workspace
        try:
            if self._half_made():
                workspace.env_vars = _TAKE_OVER
                self._stack.up(message=message, color="never", on_output=echo)
                workspace.env_vars = {}
                # An update leaves them pending, for a person to look at: they are done now.
                self._stack.refresh(clear_pending_creates=True, color="never", on_output=echo)
            self._stack.up(message=message, color="never", on_output=echo)
        except automation.ConcurrentUpdateError:
            raise
        except automation.CommandError as error:
            raise UpdateFailedError(_last_words(str(error))) from None
        finally:
            workspace.env_vars = {}

    def _half_made(self) -> bool:
        """Whether a killed update was creating objects, which may be there by now."""
        state = self._stack.export_stack().deployment or {}
        return any(operation["type"] == "creating" for operation in state.get("pending_operations") or ())

    @staticmethod
    def _echo(line: str) -> None:
        print(f"    {line.rstrip()}", file=sys.stderr, flush=True)

    def history(self) -> Iterator[Update]:
        """Yield the stack's updates, newest first, without what cannot be an agent's settings."""
        updates = self._stack.history(page_size=_REMEMBERED, show_secrets=False)
        for age, update in enumerate(updates):
            if update.kind != "update":
                continue
            value = update.config.get(_AGENTS)
            found: Any = None
            with contextlib.suppress(ValueError):
                found = json.loads(value.value) if value is not None else None
            agents = found.items() if isinstance(found, dict) else ()
            # File and bucket backends do not number them.
            number = update.version or len(updates) - age
            kept = {name: group for name, group in agents if _readable(group)}
            yield Update(number, update.start_time, update.result == "succeeded", update.result, kept)


def _readable(group: object) -> bool:
    """Whether an agent's group has the form of settings: the engine records what it is given, and then it may fail."""
    if not isinstance(group, dict) or not isinstance(group.get("image", ""), str):
        return False
    release = group.get("release")
    return release is None or (isinstance(release, dict) and {"version", "share"} <= release.keys())


def _last_words(text: str) -> str:
    """What a person needs of a failed command: the engine's diagnostics, or else its errors, each line once."""
    diagnostics = re.split(r"\n(?:Outputs|Resources|Policies|Duration):", text.partition("Diagnostics:")[2])[0]
    lines = [line.strip() for line in diagnostics.splitlines() if not re.search(r"pulumi:Stack |update failed", line)]
    lines = lines or re.findall(r"\berror: .+|created by .+", text)
    return "\n".join(dict.fromkeys(filter(None, lines))) or text.strip()


def _left_behind(message: str) -> bool:
    """Whether the lock is one of this machine whose process is gone: only file and bucket backends keep such locks."""
    owners = re.findall(r"created by \S+@(\S+) \(pid (\d+)\)", message)
    return bool(owners) and all(host == socket.gethostname() and not is_running(int(pid)) for host, pid in owners)
