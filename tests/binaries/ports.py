"""Ports for the servers that the tests start."""

from __future__ import annotations

import random
import socket

BUS = 10_000
"""How far above its port a node of a Redis Cluster listens for the others."""
_EPHEMERAL = 32_768
"""From here on Linux hands ports to clients, any of which may have one when its server starts.

https://www.kernel.org/doc/html/latest/networking/ip-sysctl.html (ip_local_port_range)
"""


def free_port() -> int:
    """Return a port of 127.0.0.1 at which nobody listens, nor at that of its bus."""
    while True:
        port = random.randrange(BUS, _EPHEMERAL - BUS)
        try:
            for number in (port, port + BUS):
                with socket.socket() as listener:
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    listener.bind(("127.0.0.1", number))
        except OSError:
            continue
        return port
