"""A stand-in for an agent's image, to try the stack before there are agents: standard library only.

Serves the contract that every agent has with the platform, on PORT: `/health` (the process lives), `/ready` (what it
depends on answers), `/metrics` (Prometheus text; also on METRICS_PORT, where that is set), and echoes every other path.
Ends at once on SIGTERM.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STARTED = time.time()
requests = 0


def dependencies() -> list[tuple[str, int]]:
    """Where the connections that the platform gave this agent lead to."""
    found = []
    if "REDIS_HOST" in os.environ:
        found.append((os.environ["REDIS_HOST"], int(os.environ["REDIS_PORT"])))
    for server in filter(None, os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "").split(",")):
        host, _, port = server.rpartition(":")
        found.append((host, int(port)))
    return found


def unreachable() -> list[str]:
    """Name the dependencies that do not accept a connection."""
    closed = []
    for host, port in dependencies():
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError:
            closed.append(f"{host}:{port}")
    return closed


class Handler(BaseHTTPRequestHandler):
    """Answers GET and POST."""

    def do_GET(self) -> None:
        """Answer one request."""
        global requests
        requests += 1
        status, body = 200, f"{os.environ.get('AGENT_NAME', 'agent')} answers {self.path}\n"
        if self.path == "/ready":
            closed = unreachable()
            status, body = (503, f"unreachable: {', '.join(closed)}\n") if closed else (200, "ready\n")
        elif self.path == "/metrics":
            body = (
                "# TYPE stand_in_requests_total counter\n"
                f"stand_in_requests_total {requests}\n"
                "# TYPE stand_in_uptime_seconds gauge\n"
                f"stand_in_uptime_seconds {time.time() - STARTED:.0f}\n"
            )
        payload = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_POST = do_GET  # noqa: N815 (http.server names it)

    def log_message(self, *_: object) -> None:
        """Keep probes out of the log."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "8080"))), Handler)
    if "METRICS_PORT" in os.environ:
        metrics = ThreadingHTTPServer(("0.0.0.0", int(os.environ["METRICS_PORT"])), Handler)
        threading.Thread(target=metrics.serve_forever, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
