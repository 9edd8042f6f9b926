"""The HTTP side: the SDK's routes for both bindings and the card, within the bounds of the edge."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import Final

from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.types.a2a_pb2 import AgentCard
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount

from agentstack_runtime.telemetry import get_logger
from agentstack_services.problems import HANDLERS
from agentstack_services.workflows.catalogue import Catalogue

from .card import RPC_PATH, card
from .edge import Edge
from .exchange import current
from .handler import Ingestion

CARD_AGE: Final = 60
"""Seconds for which a client may keep the card: workflows come and go while the process runs."""
STREAM_GRACE: Final = 5.0
"""Seconds in which a stream ends by itself at shutdown, before the SDK cuts it: it ends at once."""

log = get_logger(__name__)


def application(
    handler: Ingestion,
    catalogue: Catalogue,
    *,
    name: str,
    version: str,
    queue_bound: int,
    public_url: str | None = None,
    default_workflow: str | None = None,
) -> Edge:
    """Return the application. `public_url` is where clients find it; without one, where each of them asked."""

    def here(url: str) -> AgentCard:
        return card(name=name, version=version, url=url, catalogue=catalogue, default_workflow=default_workflow)

    async def per_request(_: AgentCard) -> AgentCard:
        url = public_url or current().origin
        if url is None:
            raise HTTPException(400, "the Host header names no host")
        return here(url.rstrip("/"))

    _quiet_sdk()
    rest = create_rest_routes(handler, shutdown_grace_period=STREAM_GRACE)
    app = Starlette(
        routes=[
            # Without the SDK's second set of them below /{tenant}: there are no tenants.
            *(route for route in rest if not isinstance(route, Mount)),
            *create_jsonrpc_routes(handler, RPC_PATH, shutdown_grace_period=STREAM_GRACE),
            *create_agent_card_routes(
                here(public_url or "http://localhost"),
                card_modifier=per_request,
                # Private: without a public URL, the card has in it what this client's request said.
                cache_control=f"private, max-age={CARD_AGE}",
            ),
        ],
        exception_handlers=dict(HANDLERS),
    )
    app.router.redirect_slashes = False  # A redirect would name a host that the client made up.
    return Edge(app, bound=queue_bound)


class _OnlyOurMistakes(logging.Handler):
    """The SDK logs clients' mistakes with tracebacks and with what they sent. The edge has a line for those."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log where an exception came from that no client caused."""
        error = record.exc_info[1] if record.exc_info else None
        if error is None or record.getMessage().startswith("Failed to"):
            return
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        log.error("request failed", error=type(error).__name__, where=where)


def _quiet_sdk() -> None:
    sdk = logging.getLogger("a2a")
    sdk.handlers = [_OnlyOurMistakes(logging.WARNING)]
    sdk.propagate = False
