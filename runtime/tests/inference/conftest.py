from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from .server import Server, serving


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as found:
        yield found
