"""Questions to the engine that change nothing, answered by the events that it prints.

With PULUMI_ENABLE_STREAMING_JSON_PREVIEW `--json` prints one event a line, as it does for updates. The one document
that it prints otherwise leaves out what a refresh read from the cluster where the engine sees no difference, and what
was deleted there.

Not by `pulumi.automation`, which `agentstack.release` uses, for what it does beside asking: to make a `Stack` it runs
`pulumi stack select`, which changes where a person's next `pulumi up` goes; it waits without a limit, and has nothing
to end an engine whose cluster does not answer; and once the engine has ended it reads events for five more seconds at
most, after which the rest of a large stack would pass for unchanged.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from typing import Final

from agentstack.rendering.environment import Environment
from settings.errors import SettingsError

from .errors import MISSING, explained
from .events import Answer, Event, read, reason, refusals

_LIMIT: Final = 900.0
"""Seconds after which an answer is not waited for; a thousand objects take about a minute."""
_GRACE: Final = 10.0
"""Seconds that the engine has to end by itself."""


def preview(environment: Environment, *, limit: float = _LIMIT) -> Answer:
    """Ask what an update that refreshes first would do with the working tree, and wait `limit` seconds at most.

    Raises `SettingsError` where the engine cannot tell: it is missing, or one of login, stack, passphrase, cluster.
    """
    return read(_run(environment, ("preview", "--refresh"), limit))


def refresh(environment: Environment, *, limit: float = _LIMIT) -> Answer:
    """Ask what in the cluster is not as the last update left it, and wait `limit` seconds at most.

    Raises `SettingsError`, as `preview` does.
    """
    return read(_run(environment, ("refresh", "--preview-only"), limit))


def _run(environment: Environment, question: tuple[str, ...], limit: float) -> list[Event]:
    folder = str(environment.project.absolute())
    # With the program's provider, not the one in the state: that has the kubeconfig's path of the last update, which
    # may have been another machine's.
    words = ["pulumi", *question, "--run-program", "--json", "--non-interactive", "--color", "never"]
    words += ["--cwd", folder, "--stack", environment.name]
    variables = {"PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "true", "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        process = subprocess.Popen(
            words,
            env=os.environ | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except FileNotFoundError:
        raise SettingsError(MISSING) from None
    with process:
        try:
            output, error = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            raise SettingsError(
                f"pulumi {question[0]}: no answer within {limit:.0f} s: see whether the cluster and the backend answer"
            ) from None
        finally:
            _end(process)
    events: list[Event] = []
    for line in output.splitlines():
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            events += [event] if isinstance(event, dict) else []
    if process.returncode and not refusals(events):
        raise SettingsError(explained(environment.name, question[0], reason(events, error)))
    if not any("summaryEvent" in event for event in events):
        raise SettingsError(
            f"pulumi {question[0]}: printed no events: update the engine to 3.200 or newer (`pulumi version`)"
        )
    return events


def _end(process: subprocess.Popen[str]) -> None:
    """End the engine, with what it started, unless it has ended."""
    for number in (signal.SIGINT, signal.SIGINT, signal.SIGKILL):  # its plugins end at the first, updates at the second
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE / 2)
