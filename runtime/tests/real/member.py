"""A member of a group in a process of its own: appends to a file what it handled, until it is told to end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from agentstack_runtime.bus import Consumer, Message
from agentstack_runtime.bus.kafka import KafkaBus

from .settings import Limits, settings


async def main(address: str, topic: str, group: str, path: str) -> None:
    out = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def handle(message: Message) -> None:
        await asyncio.sleep(0.02)
        os.write(out, f"{os.getpid()} {message.key} {message.data['n']}\n".encode())

    bus = KafkaBus(settings(address), client_id="member")
    consumer = Consumer(
        bus, [topic], group, handle, concurrency=4, queue_bound=16, retries=Limits(), dead_letter_topic=None
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: asyncio.create_task(consumer.drain(10)))
    await consumer.run()
    await bus.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
