"""From start to SIGTERM to exit code 0."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

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
"""Seconds that requests still have after the shutdown steps. The stack's grace period has 10 s beyond the longest
task."""

log = get_logger(__name__)


class Process:
    """One agent's process.

    `/health` and `/ready` are on the contract's port, before `app`; `/metrics` is on the contract's metrics port, alone
    where that is another port. At SIGTERM or SIGINT: not ready from then on; the shutdown steps, one after the other,
    within `longest_task`; the last requests; exit 0. A second signal ends the process at once, with 1.
    """

    def __init__(self, contract: Contract, *, app: ASGIApp | None = None) -> None:
        self._contract, self._app = contract, app
        self._checks: dict[str, Probe] = {}
        self._tasks: dict[str, Callable[[], Awaitable[None]]] = {}
        self._steps: list[ShutdownStep] = []
        self._ending = asyncio.Event()
        self._failed = False
        self._known: tuple[float, dict[str, str]] = (float("-inf"), {})

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
        # Not sys.exit: a thread that a library left behind would keep the pod until it is killed.
        code = asyncio.run(self.run())
        os._exit(code)

    async def run(self) -> int:
        """Serve until a signal; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        servers = self._servers()
        serving = [asyncio.create_task(server.serve()) for server in servers]
        working = {asyncio.create_task(self._guard(name, run)) for name, run in self._tasks.items()}
        ended = asyncio.create_task(self._ending.wait())
        await asyncio.wait([ended, *serving], return_when=asyncio.FIRST_COMPLETED)
        self._failed |= any(served.done() for served in serving)  # Its port is taken.
        log.info("ending")
        self._ending.set()
        await self._shut_down()
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        for server, served in zip(servers, serving, strict=True):
            server.should_exit = True
            await asyncio.wait([served], timeout=_LAST_REQUESTS)
            served.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
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

    def _servers(self) -> list[Server]:
        metrics = Route("/metrics", _metrics)
        contract, app = self._contract, self._app
        if contract.metrics_port != contract.port:
            return [
                Server(Edge(app, self.ready), contract.port),
                Server(Router([metrics], redirect_slashes=False), contract.metrics_port),
            ]
        routes: list[Route | Mount] = [metrics] if app is None else [metrics, Mount("/", app)]
        both = Router(routes, redirect_slashes=False)
        return [Server(Edge(both, self.ready), contract.port)]

    def _signalled(self) -> None:
        if self._ending.is_set():
            log.warning("ended by a second signal")
            os._exit(1)
        self._ending.set()

    async def _guard(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        try:
            await run()
        except Exception as error:
            log.exception("task failed", task=name, error=type(error).__name__)
            self._failed = True
            self._ending.set()

    async def _shut_down(self) -> None:
        end = time.monotonic() + self._contract.resilience.longest_task.total_seconds()
        for step in self._steps:
            left = max(0.0, end - time.monotonic())
            try:
                async with asyncio.timeout(left + 1):
                    await step(left)
            except Exception as error:
                # The next step may still save something.
                log.exception(
                    "shutdown step failed", step=getattr(step, "__qualname__", "?"), error=type(error).__name__
                )
                self._failed = True


async def _metrics(request: Request) -> Response:
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(REGISTRY), headers={"Content-Type": content_type})
