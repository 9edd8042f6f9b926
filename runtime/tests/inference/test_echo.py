from __future__ import annotations

from contextlib import aclosing

import pytest

from agentstack_runtime.inference import Echo, Model, Prompt


async def test_it_answers_with_what_it_was_asked_and_says_that_it_is_an_echo() -> None:
    answer = await Echo().complete(Prompt.of("why is the sky blue", system="be brief"))
    assert answer.text == "[echo] why is the sky blue"
    assert (answer.backend, answer.model, answer.finish_reason) == ("echo", "echo", "stop")
    assert (answer.input_tokens, answer.output_tokens) == (7, 6)


async def test_a_stream_is_the_same_answer_in_words() -> None:
    prompt = Prompt.of("one two\nthree")
    async with aclosing(Echo().stream(prompt)) as stream:
        chunks = [chunk async for chunk in stream]
    whole = await Echo().complete(prompt)
    assert len(chunks) == 5
    assert "".join(chunk.text for chunk in chunks) == whole.text
    assert [chunk.answer for chunk in chunks] == [None] * 4 + [whole]


async def test_the_bound_of_the_answer_holds() -> None:
    answer = await Echo().complete(Prompt(messages=({"role": "user", "content": "a b c"},), max_output_tokens=2))
    assert (answer.text, answer.finish_reason) == ("[echo] a", "length")


async def test_it_repeats_the_last_user_message_and_names_the_model_that_was_asked_for() -> None:
    turns = (
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "[echo] first"},
        {"role": "user", "content": "second"},
    )
    answer = await Echo().complete(Prompt(messages=turns, model="gpt-5"))
    assert (answer.text, answer.model) == ("[echo] second", "gpt-5")


def test_it_is_a_model() -> None:
    model: Model = Echo()
    assert isinstance(model, Model)


@pytest.mark.parametrize("wrong", [{"messages": ()}, {"messages": Prompt.of("x").messages, "max_output_tokens": 0}])
def test_a_prompt_without_sense_is_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="at least"):
        Prompt(**wrong)
