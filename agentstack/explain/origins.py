"""Which file each value of an agent comes from."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from settings.files import line_of, read_agents
from settings.model import overrides

from .model import Origin, Setting, Source

if TYPE_CHECKING:
    from agentstack.rendering.environment import Environment

_Keys = tuple[str | int, ...]


def settings_of(environment: Environment, agent: str) -> Iterator[Setting]:
    """Yield every value that an agent ends up with in an environment.

    Raises `SettingsError` for bad input, or an agent that is unknown or not enabled there.
    """
    values = environment.agent(agent).model_dump(mode="json", by_alias=True, exclude={"name", "enabled"})
    file, content = read_agents(environment.agents_folder)[agent]
    changes = (environment.config.get("agentstack:agents") or {}).get(agent, {})
    for keys, value in _leaves(values):
        path = ".".join(map(str, keys))
        declared = _origin("agent", file, content, keys)
        if overrides(changes, keys):
            override = _origin("environment", environment.file, changes, keys, ("config", "agentstack:agents", agent))
            hidden = declared if override and declared and declared.value != override.value else None
            yield Setting(path, value, override, hidden)
        else:
            yield Setting(path, value, declared)


def _leaves(value: Any, keys: _Keys = ()) -> Iterator[tuple[_Keys, Any]]:
    """Return what stands at the ends of nested groups; a list of plain values is one value."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, (*keys, key))
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for index, item in enumerate(value):
            yield from _leaves(item, (*keys, index))
    else:
        yield keys, value


def _origin(source: Source, file: pathlib.Path, content: Any, keys: _Keys, prefix: _Keys = ()) -> Origin | None:
    for key in keys:
        if isinstance(content, Mapping):
            if key not in content:
                return None
            content = content[key]
        elif isinstance(content, list):
            content = content[int(key)]
        else:
            break  # one value stands for a whole group
    # From a folder of the project, the way from there is the shorter one.
    shown = min(str(file), os.path.relpath(file), key=len)
    return Origin(source, shown, line_of(file, (*prefix, *keys)), content)
