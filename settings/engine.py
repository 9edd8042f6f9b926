"""The settings of the stack that the Pulumi engine, or a preview in-process, is running."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pulumi
from pulumi.runtime import config as runtime

from .errors import SettingsError
from .files import read_yaml
from .root import Settings
from .stack import load

_PREFIX = "agentstack:"


def load_stack(project: pathlib.Path) -> Settings:
    """Load the current stack's settings from Pulumi's configuration and the project's agent files.

    A preview in-process names other files than the project's own by `preview:agentsFolder`,
    `preview:workflowsFolder` and `preview:settingsFile`.

    Raises `SettingsError` with one line per mistake.
    """
    texts = runtime.CONFIG.get()
    stack_file = project / texts.get("preview:settingsFile", f"Pulumi.{pulumi.get_stack()}.yaml")
    config = {key.removeprefix(_PREFIX): _parsed(text) for key, text in texts.items() if key.startswith(_PREFIX)}
    # Only `secrets` stays secret on its way: everything else is shown, and stored as it is.
    exposed = [key for key in config if key != "secrets" and runtime.is_config_secret(f"{_PREFIX}{key}")]
    if exposed:
        what = "holds an encrypted value, which would be stored in plain text"
        remedy = "declare it under `secrets` of the agent, and set it at `agentstack:secrets.NAME`"
        raise SettingsError("\n".join(f"{stack_file}: {_PREFIX}{key}: {what}: {remedy}" for key in exposed))
    if isinstance(config.get("secrets"), dict):
        config["secrets"] = _as_written(config["secrets"], stack_file)
    return load(
        config,
        stack_file=stack_file,
        agents_folder=project / texts.get("preview:agentsFolder", "agents"),
        workflows_folder=project / texts.get("preview:workflowsFolder", "workflows"),
    )


def _as_written(secrets: dict[str, Any], stack_file: pathlib.Path) -> dict[str, Any]:
    """Put the encrypted form back: the engine hands over plain text, and marks all entries if one is encrypted."""
    written = read_yaml(stack_file).get("config", {}).get(f"{_PREFIX}secrets", {}) if stack_file.is_file() else {}
    encrypted = {"secure": ""} if runtime.is_config_secret(f"{_PREFIX}secrets") else None
    return {name: written.get(name, encrypted) for name in secrets}


def _parsed(text: str) -> Any:
    """Read a value as the engine hands it over: groups and lists as JSON, everything else as text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
