"""Revisions of the project's environments with other settings, rendered as `agentstack preview --json` does."""

from __future__ import annotations

import functools
import json
import pathlib
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import yaml

from agentstack.compare.snapshot import Object, Snapshot
from agentstack.rendering.environment import Environment
from settings.model import merge

ROOT = pathlib.Path(__file__).parents[2]

Settings = Mapping[str, Any]
"""What is different from the environment's file, by section."""


def revision(environment: str, settings: Settings | None = None, agents: Settings | None = None) -> Snapshot:
    """Render an environment with some settings changed, and with other `agents` beside the project's own."""
    return _rendered(environment, json.dumps(settings or {}), json.dumps(agents or {}))


@functools.cache
def _rendered(environment: str, settings: str, agents: str) -> Snapshot:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        own = ROOT / "tests" / "manifests" / f"{environment}.yaml"
        content = yaml.safe_load((own if own.exists() else ROOT / f"Pulumi.{environment}.yaml").read_text())
        given = {f"agentstack:{section}": value for section, value in json.loads(settings).items()}
        content["config"] = merge(content["config"], given)
        (folder / "settings.yaml").write_text(yaml.safe_dump(content))
        shutil.copytree(ROOT / "agents", folder / "agents")
        for agent, declared in json.loads(agents).items():
            path = folder / "agents" / f"{agent}.yaml"
            before = yaml.safe_load(path.read_text()) if path.exists() else {"name": agent}
            path.write_text(yaml.safe_dump(merge(before, declared)))
            if declared == {}:
                path.unlink()
        found = Environment.find(ROOT, environment, file=folder / "settings.yaml", agents=folder / "agents")
        return Snapshot.rendered(found, revision="a revision")


def edited(snapshot: Snapshot, title: str, *, manifest: Mapping[str, Any] | None = None, **known: Any) -> Snapshot:
    """Return the revision with one object edited as a change of the program would: fields merged, or what the engine
    knows of it."""
    old = next(known for known in snapshot.objects.values() if known.title == title)
    new = replace(old, manifest=merge(old.manifest, manifest or {}), **known)
    objects: dict[Any, Object] = {key: new if known is old else known for key, known in snapshot.objects.items()}
    return replace(snapshot, objects={known.key: known for known in objects.values()})


def without(snapshot: Snapshot, *titles: str) -> Snapshot:
    """Return the revision without these objects."""
    assert set(titles) <= {known.title for known in snapshot.objects.values()}
    kept = {key: known for key, known in snapshot.objects.items() if known.title not in titles}
    return replace(snapshot, objects=kept)
