"""An environment as its files describe it: what the engine would hand to the program as configuration."""

from __future__ import annotations

import json
import pathlib
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from manifests.text import nearest, quoted
from settings.agents import AgentFile
from settings.errors import SettingsError
from settings.files import environment_file, line_of, read_agents, read_yaml
from settings.platform import PlatformSettings
from settings.root import Settings
from settings.stack import load

WITHHELD = "<withheld>"
"""Stands for every secret value that a preview does not know."""

_PREFIX = "agentstack:"
# https://www.pulumi.com/docs/iac/concepts/projects/stack-settings-file/
STACK_FILE_KEYS = ("config", "encryptedkey", "encryptionsalt", "environment", "secretsprovider")


def find_project(start: pathlib.Path) -> pathlib.Path:
    """Return the folder with `Pulumi.yaml`: `start`, as written, or the nearest one above it.

    Raises `SettingsError` where there is none.
    """
    for folder in (start, *start.absolute().parents):
        if (folder / "Pulumi.yaml").is_file():
            return folder
    raise SettingsError(f"{start.absolute()}: no Pulumi.yaml here or above: change into the project's folder")


@dataclass(frozen=True)
class Environment:
    """The files of one environment.

    Reading them raises `SettingsError`; the values in them are checked by the program itself.
    """

    project: pathlib.Path
    name: str
    file: pathlib.Path
    agents_folder: pathlib.Path

    @classmethod
    def find(
        cls,
        project: pathlib.Path,
        name: str,
        *,
        file: pathlib.Path | None = None,
        agents: pathlib.Path | None = None,
    ) -> Environment:
        """Find the environment's file, `Pulumi.NAME.yaml` unless another `file` is given, and its agents.

        Raises `SettingsError` for an unknown environment.
        """
        if file is not None and not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
            raise SettingsError(f"`{name}` is not a stack name: use letters, digits, hyphens, underscores and dots")
        found = environment_file(project, name) if file is None else file
        return cls(project, name, found, project / "agents" if agents is None else agents)

    @property
    def workflows_folder(self) -> pathlib.Path:
        """Where the workflows' files are, if there are any."""
        return self.project / "workflows"

    @cached_property
    def project_name(self) -> str:
        """The name of the Pulumi project."""
        return str(read_yaml(self.project / "Pulumi.yaml").get("name", "agentstack"))

    @cached_property
    def config(self) -> dict[str, Any]:
        """The values below `config`, by full key, such as `agentstack:redis`."""
        content = read_yaml(self.file)
        for key in content:
            if key not in STACK_FILE_KEYS:
                place = f"{self.file}:{line_of(self.file, (key,))}"
                raise SettingsError(f"{place}: unknown key {quoted(str(key))}{nearest(key, STACK_FILE_KEYS)}")
        config = content.get("config") or {}
        if not isinstance(config, dict):
            raise SettingsError(f"{self.file}: config: must be a group of `key: value` lines")
        # As the engine reads them: a key without namespace belongs to the project.
        return {str(key) if ":" in str(key) else f"{self.project_name}:{key}": value for key, value in config.items()}

    def runtime_config(self) -> tuple[dict[str, str], list[str]]:
        """Return the configuration as the engine hands it over, and the keys of it that are secret.

        Text as it is, everything else as JSON; in place of the secrets stands `WITHHELD`.
        """
        config, secret_keys = {}, []
        for key, value in self.config.items():
            plain, secret = _decrypted(value)
            config[key] = plain if isinstance(plain, str) else json.dumps(plain)
            if secret:
                secret_keys.append(key)
        # Messages point into these files; relative paths are easier to read.
        here = self.project == pathlib.Path()
        folders = (("agentsFolder", self.agents_folder), ("workflowsFolder", self.workflows_folder))
        for key, path in (*folders, ("settingsFile", self.file)):
            config[f"preview:{key}"] = str(path if here else path.absolute())
        return config, secret_keys

    def settings(self, **sections: Any) -> Settings:
        """Load the validated settings without running the program; `sections` stand in the place of the file's.

        Raises `SettingsError` with one line per mistake.
        """
        own = {key.removeprefix(_PREFIX): value for key, value in self.config.items() if key.startswith(_PREFIX)}
        return load(
            {**own, **sections},
            stack_file=self.file,
            agents_folder=self.agents_folder,
            workflows_folder=self.workflows_folder,
        )

    @property
    def platform(self) -> PlatformSettings:
        """The section `platform` alone, for an environment that is known to be valid."""
        return PlatformSettings.model_validate(self.config.get(f"{_PREFIX}platform", {}))

    def agent(self, name: str) -> AgentFile:
        """Return an agent's declaration with what this environment overrides, defaults filled in.

        Raises `SettingsError` for an agent that is unknown, or not enabled here.
        """
        agents = self.settings().agents
        if name not in agents:
            declared = read_agents(self.agents_folder)
            if name in declared:
                raise SettingsError(f"{declared[name][0]}: agent `{name}` is not enabled in {self.name}")
            raise SettingsError(f"{self.agents_folder}: unknown agent `{name}`{nearest(name, agents)}")
        agent: Any = agents[name]
        return agent  # type: ignore[no-any-return]


def _is_secure(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"secure"}


def _decrypted(value: Any) -> tuple[Any, bool]:
    """Put `WITHHELD` in the place of every `{secure: ...}`; say whether there was one."""
    if _is_secure(value):
        return WITHHELD, True
    if isinstance(value, dict):
        pairs = {key: _decrypted(item) for key, item in value.items()}
        return {key: plain for key, (plain, _) in pairs.items()}, any(secret for _, secret in pairs.values())
    if isinstance(value, list):
        items = [_decrypted(item) for item in value]
        return [plain for plain, _ in items], any(secret for _, secret in items)
    return value, False
