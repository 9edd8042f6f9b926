"""A process that appends for ever, and says what is acknowledged: `writer.py PORT CONVERSATION NAME`."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

from pydantic import SecretStr

from agentstack_runtime.contract import Redis
from agentstack_runtime.state.redis import RedisState
from redis_cluster import PASSWORD, USER


async def main(port: int, conversation: str, name: str) -> None:
    url = SecretStr(f"redis://{USER}:{PASSWORD}@127.0.0.1:{port}")
    state = RedisState(Redis(url=url, host="127.0.0.1", port=port), patience=timedelta(seconds=20))
    number = 0
    while True:
        number += 1
        message = f"{name}-{number}"
        # Twice at a time, as two deliveries of one message would be.
        await asyncio.gather(*(state.append(conversation, message, message) for _ in range(2)))
        print(message, flush=True)


asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
