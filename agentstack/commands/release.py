"""The commands `release`, `rollback` and `releases`."""

from __future__ import annotations

import contextlib
import pathlib
import re
import urllib.parse
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentstack.output.exits import INTERRUPTED

# Only what `--help` needs is imported here, as in agentstack/cli.py.
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from agentstack.release.driver import Driver, Outcome, Update
    from agentstack.release.judge import Ask
    from agentstack.release.stack import Stack
    from settings.rollout import StateFormats

LOCKED = 5

_EXIT_CODES = (
    "Exit codes: 0 done, 1 rolled back, 2 bad input, 3 undecided (the release stays at its share), 4 the engine "
    "failed, 5 another update is under way, 130 interrupted. After 3, 4, 5 and 130 the same command goes on."
)
_Env = Annotated[str, typer.Option("--env", help="The environment: the stack and its Pulumi.ENV.yaml.")]
_Verbose = Annotated[bool, typer.Option("--verbose", help="Show what the engine prints.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command(epilog=_EXIT_CODES)(release)
    app.command(epilog=_EXIT_CODES)(rollback)
    app.command()(releases)


def release(
    agent: Annotated[str, typer.Argument(metavar="AGENT")],
    to: Annotated[str, typer.Option("--to", metavar="VERSION", help="The tag or digest of the agent's image.")],
    env: _Env = "dev",
    steps: Annotated[str, typer.Option(help="A canary's shares in percent; the last is 100.")] = "10,50,100",
    pause: Annotated[str, typer.Option(help="How long each step is watched, 1s to 24h.")] = "5m",
    prometheus: Annotated[
        str,
        typer.Option(
            metavar="URL",
            envvar="AGENTSTACK_PROMETHEUS",
            help="Where to ask how the versions do (`pulumi stack output prometheus` prints the port-forward); `none`: "
            "ask nobody, a step is good once its pods are ready.",
        ),
    ] = "http://localhost:9090",
    reads: Annotated[
        str | None, typer.Option(metavar="1,2", help="Formats of state that the new version reads, if not as before.")
    ] = None,
    writes: Annotated[int | None, typer.Option(metavar="2", help="The one that it writes.")] = None,
    verbose: _Verbose = False,
) -> None:
    """Take an agent to another version by its `rollout`, watch it, and go back by itself if it does worse."""
    shares, span, formats, ask = _steps(steps), _span(pause), _formats(reads, writes), _ask(prometheus)
    with _driver(env, ask, verbose) as driver:
        _exit(driver.release(agent, to, steps=shares, pause=span, state=formats))


def rollback(
    agent: Annotated[str | None, typer.Argument(metavar="[AGENT]", help="All agents if absent.")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="VERSION", help="The one before if absent.")] = None,
    env: _Env = "dev",
    verbose: _Verbose = False,
) -> None:
    """Take a release in progress back, or restore an agent's former version and settings from the stack's history."""
    from settings.errors import SettingsError

    if to is not None and agent is None:
        raise SettingsError("--to: belongs to one agent: write `agentstack rollback AGENT --to VERSION`")
    with _driver(env, None, verbose) as driver:
        _exit(driver.rollback(agent, to))


def releases(
    agent: Annotated[str | None, typer.Argument(metavar="[AGENT]", help="All agents if absent.")] = None,
    env: _Env = "dev",
) -> None:
    """List the versions that the stack's updates deployed: those that the environment's file names."""
    from rich.table import Table

    from agentstack.output.console import new_console
    from settings.errors import SettingsError

    stack = _stack(env, verbose=False)
    if agent is not None and agent not in stack.checked(stack.agents).agents:
        raise SettingsError(f"unknown agent `{agent}`")
    table = Table("update", "when", "result", "agent", "version", "candidate", box=None, pad_edge=False)
    for update, name, version, candidate in changes(list(stack.history()), agent):
        when = f"{update.when:%Y-%m-%d %H:%M}"
        table.add_row(str(update.number), when, update.result, name, version, candidate)
    new_console().print(table, soft_wrap=True)


def changes(history: Iterable[Update], agent: str | None) -> list[tuple[Update, str, str, str]]:
    """Return update, agent, version and candidate wherever an update differs from the one before; newest first."""
    from settings.rollout import version_of

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


def _stack(env: str, *, verbose: bool) -> Stack:
    from agentstack.rendering.environment import Environment, find_project

    environment = Environment.find(find_project(pathlib.Path()), env)
    from agentstack.release.stack import Stack

    return Stack(environment, verbose=verbose)


@contextlib.contextmanager
def _driver(env: str, ask: Ask | None, verbose: bool) -> Iterator[Driver]:
    """Give the driver of a stack; what ends it early becomes a line and an exit code."""
    from agentstack.release.driver import Driver, LockedError

    def say(line: str) -> None:
        typer.echo(f"{datetime.now():%H:%M:%S} {line}")

    try:
        yield Driver(_stack(env, verbose=verbose), ask, say)
    except LockedError as error:
        typer.echo(
            f"{error}\nanother update of `{env}` is under way: wait for it and run the same command again; if nobody "
            f"runs one, `pulumi cancel --stack {env}` frees the stack",
            err=True,
        )
        raise typer.Exit(LOCKED) from None
    except KeyboardInterrupt:
        typer.echo("interrupted: run the same command to go on", err=True)
        raise typer.Exit(INTERRUPTED) from None


def _exit(outcome: Outcome) -> None:
    if outcome:
        raise typer.Exit(int(outcome))


def _steps(text: str) -> list[int]:
    from settings.errors import SettingsError

    try:
        shares = [int(part) for part in text.split(",")]
    except ValueError:
        shares = []
    if not shares or shares[-1] != 100 or shares[0] < 1 or sorted(set(shares)) != shares:
        raise SettingsError(f"--steps: `{text}` are not growing shares up to 100: write for example `10,50,100`")
    return shares


def _ask(url: str) -> Ask | None:
    """Return what asks the Prometheus at `url`; the message for a bad one does not repeat it: it may hold a login."""
    from agentstack.release.judge import Prometheus
    from settings.errors import SettingsError

    if url == "none":
        return None
    try:
        parts = urllib.parse.urlsplit(url)
        good = bool(re.fullmatch(r"(?i:https?)://[!-~]+", url)) and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, an IPv6 address that is none
        good = False
    if not good or set("@?#") & set(url):
        raise SettingsError(
            "--prometheus: is not the address of a Prometheus: write `http://HOST:PORT` or `https://HOST`, without a "
            "login, or `none`"
        )
    return Prometheus(url).value


def _span(text: str) -> timedelta:
    from pydantic import TypeAdapter, ValidationError

    from settings.errors import SettingsError
    from settings.types import Duration

    try:
        span: timedelta = TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        raise SettingsError(f"--pause: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    if not timedelta(seconds=1) <= span <= timedelta(hours=24):
        raise SettingsError(f"--pause: `{text}` is not between `1s` and `24h`: write for example `5m`")
    return span


def _formats(reads: str | None, writes: int | None) -> StateFormats | None:
    from pydantic import ValidationError

    from settings.errors import SettingsError
    from settings.rollout import StateFormats

    if reads is None and writes is None:
        return None
    try:
        return StateFormats.model_validate({"reads": [int(n) for n in (reads or "").split(",")], "writes": writes})
    except (ValueError, ValidationError):
        raise SettingsError(
            "--reads: with `--writes`, which must be among them: write for example `--reads 1,2 --writes 2`"
        ) from None
