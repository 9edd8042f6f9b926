"""With `reload: file` the contract changes while the process runs: the kubelet renews its files."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from .model import Contract
from .reading import CONFIG, SECRETS, ContractError, load

_log = logging.getLogger(__name__)

INTERVAL = 10.0
"""Seconds between looks. The kubelet itself takes up to a minute to renew a volume."""


async def watch(
    on_change: Callable[[Contract], Awaitable[None]],
    *,
    current: Contract | None = None,
    environ: Mapping[str, str] = os.environ,
    config: Path = CONFIG,
    secrets: Path = SECRETS,
    interval: float = INTERVAL,
) -> None:
    """Call `on_change` with each new contract, until cancelled. Returns at once where nothing is a file.

    `current` is what the process began with: what was renewed between its start and the first look is told as well.
    Without it the first look is taken for it. A state that does not add up, such as one half of two volumes, or that
    `on_change` refuses with a ContractError, is named in the log once; the old one stays. What else `on_change` raises
    ends the watch.
    """
    if not config.is_dir() and not secrets.is_dir():
        return
    complaint = ""
    while True:
        try:
            contract = load(environ, config, secrets)
            if current is not None and contract != current:
                await on_change(contract)
        except (ContractError, OSError) as error:
            if str(error) != complaint:
                complaint = str(error)
                _log.warning("the renewed configuration is not used: %s", complaint.replace("\n", "; "))
        else:
            complaint, current = "", contract
        await asyncio.sleep(interval)
