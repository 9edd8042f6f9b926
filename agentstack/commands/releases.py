"""The command `releases`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer
from rich.table import Table

from agentstack.output.console import new_console
from agentstack.release.driver import Update
from settings.errors import SettingsError
from settings.rollout import version_of

from .driving import Env, stack

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def releases(
    agent: Annotated[str | None, typer.Argument(metavar="[AGENT]", help="All agents if absent.")] = None,
    env: Env = "dev",
) -> None:
    """List the versions that the stack's updates deployed: those that the environment's file names."""
    found = stack(env, verbose=False)
    if agent is not None and agent not in found.checked(found.agents).agents:
        raise SettingsError(f"unknown agent `{agent}`")
    table = Table("update", "when", "result", "agent", "version", "candidate", box=None, pad_edge=False)
    for update, name, version, candidate in changes(list(found.history()), agent):
        when = f"{update.when:%Y-%m-%d %H:%M}"
        table.add_row(str(update.number), when, update.result, name, version, candidate)
    new_console().print(table, soft_wrap=True)


def changes(history: Iterable[Update], agent: str | None) -> list[tuple[Update, str, str, str]]:
    """Return update, agent, version and candidate wherever an update differs from the one before; newest first."""
    found = []
    before: dict[str, tuple[str, str, bool]] = {}
    for update in reversed(list(history)):
        for name, group in sorted(update.agents.items()):
            if "image" not in group or agent not in (None, name):
                continue
            shown = (version_of(group["image"]), _candidate(group.get("release")), update.succeeded)
            if before.get(name) != shown:
                found.append((update, name, *shown[:2]))
            before[name] = shown
    return found[::-1]


def _candidate(release: Mapping[str, Any] | None) -> str:
    if release is None:
        return ""
    return f"{release['version']} " + ("goes back" if release.get("aborted") else f"{release['share']} %")
