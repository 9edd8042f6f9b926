"""What the commands that change versions of agents share: their options, the stack, and how they end."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from agentstack.output.exits import INTERRUPTED
from agentstack.release.driver import Driver, LockedError, Outcome
from agentstack.release.judge import Ask
from agentstack.rendering.environment import Environment, find_project

if TYPE_CHECKING:
    from agentstack.release.stack import EngineStack

_LOCKED: Final = 5
"""The exit code where another update is under way."""
EXIT_CODES: Final = (
    "Exit codes: 0 done, 1 rolled back, 2 bad input, 3 undecided (the release stays at its share), 4 the engine "
    "failed, 5 another update is under way, 130 interrupted. After 3, 4, 5 and 130 the same command goes on."
)
Env: TypeAlias = Annotated[str, typer.Option("--env", help="The environment: the stack and its Pulumi.ENV.yaml.")]
Verbose: TypeAlias = Annotated[bool, typer.Option("--verbose", help="Show what the engine prints.")]


def stack(env: str, *, verbose: bool) -> EngineStack:
    """Return the stack of an environment."""
    environment = Environment.find(find_project(pathlib.Path()), env)
    # The engine's SDK takes 0.3 s to import, and the help of a command needs none of it.
    from agentstack.release.stack import EngineStack

    return EngineStack(environment, verbose=verbose)


@contextlib.contextmanager
def driver(env: str, ask: Ask | None, verbose: bool) -> Iterator[Driver]:
    """Give the driver of a stack; what ends it early becomes a line and an exit code."""

    def say(line: str) -> None:
        typer.echo(f"{datetime.now():%H:%M:%S} {line}")

    try:
        yield Driver(stack(env, verbose=verbose), ask, say)
    except LockedError as error:
        typer.echo(
            f"{error}\nanother update of `{env}` is under way: wait for it and run the same command again; if nobody "
            f"runs one, `pulumi cancel --stack {env}` frees the stack",
            err=True,
        )
        raise typer.Exit(_LOCKED) from None
    except KeyboardInterrupt:
        typer.echo("interrupted: run the same command to go on", err=True)
        raise typer.Exit(INTERRUPTED) from None


def end(outcome: Outcome) -> None:
    """End the command as its outcome says."""
    if outcome:
        raise typer.Exit(int(outcome))
