"""The command line: `agentstack preview`, `check`, `diff`, `explain`, `graph`, `new`, `release` and the others.

Only what `--help` and completion need is imported here: each command's module is imported when it is called.
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from agentstack.output.exits import BAD_INPUT, BUG, is_bad_input

SUMMARIES: Final[Mapping[str, str]] = {
    "preview": "Compute the whole stack without engine, cluster or account: check it, sum it up, write its manifests.",
    "schema": "Write all generated files: the JSON Schemas that editors read, and the rules in docs/policies.md.",
    "explain": "Show what an agent's declaration becomes, and why: each value with its origin, each object with its "
    "purpose.",
    "graph": "Draw what is declared: agents, topics, stores, models, the gateway, and the flows between them.",
    "check": "Judge Kubernetes objects in any folder of YAML by the rules of docs/policies.md.",
    "release": "Take an agent to another version by its `rollout`, watch it, and go back by itself if it does worse.",
    "rollback": "Take a release in progress back, or restore an agent's former version and settings from the stack's "
    "history.",
    "releases": "List the versions that the stack's updates deployed: those that the environment's file names.",
    "diff": "Show what the working tree changes: object by object, with what it destroys, restarts and costs.",
    "drift": "Show what in the cluster is not as it was deployed, field by field, and who set it.",
    "new": "Write a new file.",
}
"""All commands, each with the first line of its help; `agentstack.commands.NAME` has its `app`."""


class Commands(TyperGroup):
    """The commands by name, each imported when it is called or asked for its own help."""

    def __init__(self, **attributes: Any) -> None:
        attributes["commands"] = {name: TyperCommand(name, help=text) for name, text in SUMMARIES.items()}
        super().__init__(**attributes)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command that `args` name, with its options, and what is left of `args`."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None:
            command = typer.main.get_command(importlib.import_module(f"agentstack.commands.{name}").app)
        return name, command, rest


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def agentstack() -> None:
    """AI agents on Kubernetes: the whole platform from typed settings."""


def main() -> NoReturn:
    """Run the command line and exit; bad input gives its message on stderr and the exit code 2."""
    # Nearly everything that a run makes lives until its end: looking for garbage early costs a tenth of the time.
    gc.set_threshold(100_000, 50, 100)
    try:
        app(prog_name="agentstack")
    except Exception as error:
        if not is_bad_input(error):
            sys.excepthook(type(error), error, error.__traceback__)
            sys.exit(BUG)
        typer.echo(str(error), err=True)
    sys.exit(BAD_INPUT)
