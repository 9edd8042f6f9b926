"""A model that needs no key, no account and no network: it answers with what it was asked, and says so."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from datetime import timedelta

from .protocol import Answer, Chunk, Prompt

BACKEND = "echo"
LABEL = "[echo]"
"""Every answer begins with it, so that nobody takes it for a model's."""


_WORD = re.compile(r"\s*\S+")


class Echo:
    """Repeats the last user message behind `[echo]`. Tokens are words: good for a meter that moves, not for a bill.

    `pause` between the words of a stream lets a demonstration show that it streams.
    """

    def __init__(self, model: str = BACKEND, *, pause: timedelta = timedelta()) -> None:
        self._model = model
        self._pause = pause.total_seconds()

    async def complete(self, prompt: Prompt) -> Answer:
        """Answer at once; bounded by `max_output_tokens` words, the label included."""
        words, asked = _words(prompt)
        return Answer(
            text="".join(words),
            model=prompt.model or self._model,
            backend=BACKEND,
            input_tokens=sum(len(turn["content"].split()) for turn in prompt.messages),
            output_tokens=len(words),
            finish_reason="stop" if len(words) == asked else "length",
        )

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        """Answer word by word; the chunks together are the text of `complete`."""
        answer = await self.complete(prompt)
        for number, word in enumerate(_words(prompt)[0]):
            if number:
                await asyncio.sleep(self._pause)
            yield Chunk(text=word)
        yield Chunk(text="", answer=answer)

    async def close(self) -> None:
        """Nothing is held."""


def _words(prompt: Prompt) -> tuple[list[str], int]:
    said = next((turn["content"] for turn in reversed(prompt.messages) if turn["role"] == "user"), "")
    # Each with the space before it: lines stay lines.
    words = [LABEL, *_WORD.findall(f" {said.strip()}" if said.strip() else "")]
    return words[: prompt.max_output_tokens], len(words)
