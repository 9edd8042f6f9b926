from __future__ import annotations

from collections.abc import AsyncIterator

from agentstack_runtime.inference import Chunk


async def read(stream: AsyncIterator[Chunk], into: list[str]) -> None:
    """Keep what came before a stream failed."""
    async for chunk in stream:
        into.append(chunk.text)
