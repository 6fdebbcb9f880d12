"""A thought is closed when its budget is spent; one that ends in time is left alone."""

from collections.abc import Iterator
from typing import Any

import pytest

from canvaslm import LM, Params
from canvaslm.engine.events import Done, Draft, Event, Text
from canvaslm.server.asking.thinking import Closed, Spending, follow, think_within
from canvaslm.server.telling.chat import ChoiceStream, Telling, choice_of
from canvaslm.text.controls import CHANNEL, CHANNEL_END
from canvaslm.text.spans import Thought

PARAMS = Params(seed=3, max_tokens=40, max_steps=4)
WORDS = "one two three four five six seven eight nine ten "


def prompt_of(lm: LM) -> tuple[int, ...]:
    return (lm.tokenizer.bos_id or 0, *lm.tokenizer.encode("hello"))


def drafted(step: int) -> Draft:
    return Draft(canvas=0, step=step, token_ids=[], entropy=[], accepted=[], noisy_ids=[])


def thinking(pieces: list[str]) -> Iterator[Event]:
    """What a stream of a model that thinks without end begins with."""
    for step, piece in enumerate(pieces, start=1):
        yield drafted(step)
        yield Thought(piece)
    raise AssertionError("nobody asks for more")


def followed(lm: LM, first: Iterator[Event], budget: int, params: Params = PARAMS) -> list[Any]:
    watch = Spending(lm.tokenizer, budget)
    return list(follow(lm, first, prompt_of(lm), watch, params=params, mode="diffusion"))


@pytest.mark.parametrize("cuts", [1, 3, 10])
def test_a_long_thought_is_cut_at_its_budget_and_answered(lm: LM, cuts: int) -> None:
    words = WORDS * 3
    size = -(-len(words) // cuts)
    pieces = [words[i : i + size] for i in range(0, len(words), size)]
    events = followed(lm, thinking(pieces), budget=12)
    thought = "".join(event.text for event in events if isinstance(event, Thought))
    assert words.startswith(thought)
    assert 0 < len(lm.tokenizer.encode(thought)) <= 12
    (closed,) = [event for event in events if isinstance(event, Closed)]
    result = events[-1].result
    opening, closer = (lm.tokenizer.token_id(name) for name in (CHANNEL, CHANNEL_END))
    kept = result.token_ids[: closed.tokens]
    assert (kept[0], kept[-1]) == (opening, closer)
    assert result.thoughts == thought
    said = "".join(event.delta for event in events if isinstance(event, Text))
    assert result.text == said
    assert result.usage.completion_tokens == len(result.token_ids) <= PARAMS.max_tokens
    assert result.usage.prompt_tokens == len(prompt_of(lm))
    assert result.usage.steps > sum(isinstance(event, Draft) for event in events) - 1
    assert "thinking_budget" in result.notes[0]
    rest = Params(seed=3, max_tokens=40 - closed.tokens, max_steps=4)
    alone = lm.generate((*prompt_of(lm), *kept), params=rest)
    assert result.text == alone.text


def test_chunks_and_choice_agree_on_a_cut_thought(lm: LM) -> None:
    events = followed(lm, thinking([WORDS] * 5), budget=9)
    stream = ChoiceStream(head={}, index=0, telling=Telling(lm.tokenizer))
    chunks = [chunk for event in events for chunk in stream.take(event)]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    whole = choice_of(events[-1].result, index=0, telling=Telling(lm.tokenizer), logprobs=False)
    for name in ("content", "reasoning_content"):
        joined = "".join(delta.get(name, "") for delta in deltas)
        assert joined == (whole["message"].get(name) or "")


def test_a_thought_in_time_changes_nothing(lm: LM) -> None:
    answered = list(lm.stream(prompt_of(lm), params=PARAMS))
    events: list[Event] = [drafted(1), Thought("short"), *answered]
    assert followed(lm, iter_of(events), budget=12) == events


def iter_of(events: list[Event]) -> Iterator[Event]:
    yield from events


def test_no_room_is_left_for_an_answer(lm: LM) -> None:
    params = Params(seed=3, max_tokens=14)
    events = followed(lm, thinking([WORDS] * 9), budget=13, params=params)
    done = events[-1]
    assert isinstance(done, Done)
    assert done.result.finish_reason == "length"
    assert len(done.result.token_ids) <= 14


def test_a_budget_beyond_the_answer_is_no_limit(lm: LM) -> None:
    within = think_within(lm, prompt_of(lm), params=PARAMS, mode="diffusion", budget=40)
    assert [e for e in within if isinstance(e, Text)] == [
        e for e in lm.stream(prompt_of(lm), params=PARAMS) if isinstance(e, Text)
    ]
