"""A process that takes a lock, says so, waits for a line, and then writes: `holder.py PORT CONVERSATION LEASE`."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

from pydantic import SecretStr

from agentstack_runtime.contract import Redis
from agentstack_runtime.state import Fenced
from agentstack_runtime.state.redis import RedisState
from redis_cluster import PASSWORD, USER


async def main(port: int, conversation: str, lease: float) -> None:
    url = SecretStr(f"redis://{USER}:{PASSWORD}@127.0.0.1:{port}")
    state = RedisState(Redis(url=url, host="127.0.0.1", port=port), patience=timedelta(seconds=20))
    async with state.lock(conversation, "l", lease=timedelta(seconds=lease)) as held:
        print(held.token, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        try:
            await state.put(conversation, "x", "the first holder's", fence=held)
        except Fenced:
            print("fenced", flush=True)
        else:
            print("written", flush=True)
    await state.close()


asyncio.run(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
