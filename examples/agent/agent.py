"""Answers questions by the environment's model, and keeps each with its answer in the conversation, once."""

import asyncio

from agentstack_runtime.bus import Consumer, Message
from agentstack_runtime.bus.kafka import KafkaBus
from agentstack_runtime.contract import load
from agentstack_runtime.inference import Prompt, model
from agentstack_runtime.lifecycle import Process
from agentstack_runtime.state.redis import RedisState
from agentstack_runtime.telemetry import configure_logging


async def main() -> int:
    """Run until SIGTERM, and return the exit code."""
    found = load()  # or ContractError, with a line for each thing that is missing
    configure_logging(found.agent_name, pod=found.pod_name)
    bus, state = KafkaBus(found.kafka, client_id=found.pod_name), RedisState(found.redis)
    answering, limits = model(found), found.resilience

    async def handle(question: Message) -> None:
        answer = await answering.complete(Prompt.of(str(question.data["text"])))
        data = {"question": question.data["text"], "answer": answer.text, "backend": answer.backend}
        await state.append(question.key, question.id, data)  # the same id again changes nothing
        result = Message("com.example.answered", data, key=question.key, id=f"{question.id}:answer")
        await bus.publish(found.kafka.produce_topics[0], result)  # the offset is committed after it

    async def ready() -> str | None:
        return consumer.ready()

    consumer = Consumer(bus, found.kafka.consume_topics, found.kafka.consumer_group, handle,
                        concurrency=limits.concurrency, queue_bound=limits.queue_bound, retries=limits.retries,
                        dead_letter_topic="dead-letters")  # fmt: skip
    process = Process(found)
    process.check("consumer", ready)
    process.task("consumer", consumer.run)
    process.on_shutdown(consumer.drain)
    return await process.run()


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
