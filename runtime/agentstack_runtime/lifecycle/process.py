"""From start to SIGTERM to exit code 0."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, NoReturn

from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp

from agentstack_runtime.contract import Contract
from agentstack_runtime.telemetry import get_logger

from .edge import Edge
from .server import Server

Probe = Callable[[], Awaitable[str | None]]
"""Returns None where all is well, else the reason."""
ShutdownStep = Callable[[float], Awaitable[None]]
"""Gets the seconds that are left."""

PROBE_SECONDS: Final = 1.5
"""Seconds that a check may take: the kubelet waits for 3."""
_FRESH: Final = 1.0
"""Seconds for which an answer about readiness holds: probes of many callers ask Redis and Kafka once."""
_LAST_REQUESTS: Final = 5.0
"""Seconds that requests have at least after the shutdown steps, however long these took."""
_MARGIN: Final = 1.0
"""Seconds beyond their time for each of: steps that hang, connections that do not close, tasks that do not end. With
the last requests less than the 10 s by which the stack's grace period exceeds the longest task."""

log = get_logger(__name__)


class Process:
    """One agent's process.

    `/health` and `/ready` are on the contract's port, before `app`; `/metrics` is on the contract's metrics port, alone
    where that is another port. At SIGTERM or SIGINT: not ready from then on; the shutdown steps, one after the other,
    and then the requests under way, both within `longest_task`; the tasks are cancelled; exit 0. What the time was too
    short for is a line in the log. A second signal ends the process at once, with 1.

    Of `app` only requests are served: neither its `lifespan`, for which there are tasks and shutdown steps, nor web
    sockets.
    """

    def __init__(self, contract: Contract, *, app: ASGIApp | None = None) -> None:
        self._contract, self._app = contract, app
        self._checks: dict[str, Probe] = {}
        self._tasks: dict[str, Callable[[], Awaitable[None]]] = {}
        self._steps: list[ShutdownStep] = []
        self._ending = asyncio.Event()
        self._failed = False
        self._known: tuple[float, dict[str, str]] = (float("-inf"), {})
        self._edge = Edge(self._routed(), self.ready)

    def check(self, name: str, probe: Probe) -> None:
        """Be ready only while `probe` returns None. One that takes longer than 1.5 s, or raises, is a reason too."""
        self._checks[name] = probe

    def task(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run `run` beside the server, until it returns or the process ends. If it raises, the process ends with 1."""
        self._tasks[name] = run

    def on_shutdown(self, step: ShutdownStep) -> None:
        """Await `step` at the end, after those that were registered before it."""
        self._steps.append(step)

    def main(self) -> NoReturn:
        """Run until the end, and exit."""
        asyncio.run(self._run_and_exit())

    async def _run_and_exit(self) -> NoReturn:
        code = await self.run()
        # Not sys.exit, nor the end of the event loop: a thread or a task that a library left behind would keep the pod
        # until it is killed.
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    async def run(self) -> int:
        """Serve until a signal; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        servers = self._servers()
        serving = {server: asyncio.create_task(server.serve()) for server in servers}
        working = {asyncio.create_task(self._guard(name, run)) for name, run in self._tasks.items()}
        ended = asyncio.create_task(self._ending.wait())
        await asyncio.wait([ended, *serving.values()], return_when=asyncio.FIRST_COMPLETED)
        self._failed |= any(served.done() for served in serving.values())  # Its port is taken.
        end = time.monotonic() + self._contract.resilience.longest_task.total_seconds()
        log.info("ending")
        self._ending.set()
        self._edge.ending = True
        await self._shut_down(end)
        # The port stays open until then: whoever asks for readiness gets its answer.
        cut = await self._edge.drain(max(end - time.monotonic(), _LAST_REQUESTS))
        if cut:
            log.warning("requests were cut: the time was over", requests=cut)
        for server in servers:
            server.should_exit = True
        await asyncio.wait(serving.values(), timeout=_MARGIN)
        await _cancel(*working, *serving.values(), ended)
        log.info("ended", failed=self._failed)
        return int(self._failed)

    async def ready(self) -> dict[str, str]:
        """Return what is not ready, by name, and why."""
        if self._ending.is_set():
            return {"process": "is ending"}
        at, reasons = self._known
        if time.monotonic() - at > _FRESH:
            answers = await asyncio.gather(*map(self._ask, self._checks.values()))
            reasons = {name: reason for name, reason in zip(self._checks, answers, strict=True) if reason is not None}
            self._known = (time.monotonic(), reasons)
        return reasons

    async def _ask(self, probe: Probe) -> str | None:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                return await probe()
        except TimeoutError:
            return f"does not answer within {PROBE_SECONDS:g} s"
        except Exception as error:
            log.warning("check failed", error=type(error).__name__)
            return type(error).__name__

    def _routed(self) -> ASGIApp | None:
        """Return what the contract's port serves beside the probes."""
        app = self._app
        if self._contract.metrics_port != self._contract.port:
            return app
        routes: list[Route | Mount] = [_METRICS] if app is None else [_METRICS, Mount("/", app)]
        return Router(routes, redirect_slashes=False)

    def _servers(self) -> list[Server]:
        contract = self._contract
        servers = [Server(self._edge, contract.port)]
        if contract.metrics_port != contract.port:
            servers.append(Server(Router([_METRICS], redirect_slashes=False), contract.metrics_port))
        return servers

    def _signalled(self) -> None:
        if self._ending.is_set():
            log.warning("ended by a second signal")
            os._exit(1)
        self._ending.set()

    async def _guard(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        try:
            await run()
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and self._ending.is_set():
                raise
            # Cancelled by itself, it would end without a word, and the process would go on for nothing.
            log.exception("task failed", task=name, error=type(error).__name__)
            self._failed = True
            self._ending.set()

    async def _shut_down(self, end: float) -> None:
        for step in self._steps:
            left = max(0.0, end - time.monotonic())
            try:
                async with asyncio.timeout(max(0.0, end + _MARGIN - time.monotonic())):
                    await step(left)
            except Exception as error:
                # The next step may still save something.
                log.exception(
                    "shutdown step failed", step=getattr(step, "__qualname__", "?"), error=type(error).__name__
                )
                self._failed = True


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel what is left, and wait a moment for it: a task that holds on to life is left behind."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=_MARGIN)


async def _metrics(request: Request) -> Response:
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(REGISTRY), headers={"Content-Type": content_type})


_METRICS: Final = Route("/metrics", _metrics)
