"""The settings of the stack that the Pulumi engine, or a preview in-process, is running."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pulumi
from pulumi.runtime import config as runtime

from .root import Settings
from .stack import load

_PREFIX = "agentstack:"


def load_stack(project: pathlib.Path) -> Settings:
    """Load the current stack's settings from Pulumi's configuration and the project's agent files.

    The configuration `agentstack:agentsFolder` names another folder than `agents`, and `agentstack:settingsFile`
    the file that messages point into, if it is not `Pulumi.STACK.yaml`.

    Raises `SettingsError` with one line per mistake.
    """
    config: dict[str, Any] = {}
    for full_key, text in runtime.CONFIG.get().items():
        if full_key.startswith(_PREFIX):
            config[full_key.removeprefix(_PREFIX)] = _parsed(text)
    secrets = config.get("secrets")
    if isinstance(secrets, dict) and runtime.is_config_secret(f"{_PREFIX}secrets"):
        config["secrets"] = {name: {"secure": "decrypted by the engine"} for name in secrets}
    agents_folder = config.pop("agentsFolder", "agents")
    stack_file = config.pop("settingsFile", f"Pulumi.{pulumi.get_stack()}.yaml")
    return load(config, stack_file=project / stack_file, agents_folder=project / agents_folder)


def _parsed(text: str) -> Any:
    """Read a value as the engine hands it over: groups and lists as JSON, everything else as text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
