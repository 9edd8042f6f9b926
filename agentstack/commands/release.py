"""The command `release`."""

from __future__ import annotations

import re
import urllib.parse
from datetime import timedelta
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from agentstack.release.judge import Ask, Prometheus
from settings.errors import SettingsError
from settings.rollout import StateFormats
from settings.types import Duration

from .driving import EXIT_CODES, Env, Verbose, driver, end

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog=EXIT_CODES)
def release(
    agent: Annotated[str, typer.Argument(metavar="AGENT")],
    to: Annotated[str, typer.Option("--to", metavar="VERSION", help="The tag or digest of the agent's image.")],
    env: Env = "dev",
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
    verbose: Verbose = False,
) -> None:
    """Take an agent to another version by its `rollout`, watch it, and go back by itself if it does worse."""
    shares, span, formats, ask = _steps(steps), _span(pause), _formats(reads, writes), _ask(prometheus)
    with driver(env, ask, verbose) as run:
        end(run.release(agent, to, steps=shares, pause=span, state=formats))


def _steps(text: str) -> list[int]:
    try:
        shares = [int(part) for part in text.split(",")]
    except ValueError:
        shares = []
    if not shares or shares[-1] != 100 or shares[0] < 1 or sorted(set(shares)) != shares:
        raise SettingsError(f"--steps: `{text}` are not growing shares up to 100: write for example `10,50,100`")
    return shares


def _ask(url: str) -> Ask | None:
    """Return what asks the Prometheus at `url`; the message for a bad one does not repeat it: it may hold a login."""
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
    try:
        span: timedelta = TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        raise SettingsError(f"--pause: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    if not timedelta(seconds=1) <= span <= timedelta(hours=24):
        raise SettingsError(f"--pause: `{text}` is not between `1s` and `24h`: write for example `5m`")
    return span


def _formats(reads: str | None, writes: int | None) -> StateFormats | None:
    if reads is None and writes is None:
        return None
    try:
        return StateFormats.model_validate({"reads": [int(n) for n in (reads or "").split(",")], "writes": writes})
    except (ValueError, ValidationError):
        raise SettingsError(
            "--reads: with `--writes`, which must be among them: write for example `--reads 1,2 --writes 2`"
        ) from None
