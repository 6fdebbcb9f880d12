"""A loop is noticed wherever it stands; lists, tables and answers of the tasks are none."""

import inspect
import random
import textwrap

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from canvaslm import tasks
from canvaslm.control.loop_guard import GUARD, Discourage, Loop, LoopGuard
from canvaslm.engine.loading import POCKET
from canvaslm.errors import ParameterError
from canvaslm.text.tokenizer import Tokenizer

WORDS = list(range(100, 400))


def test_a_loop_by_hand() -> None:
    ids = [*WORDS[:10], *[7, 8, 9] * 30, *WORDS[10:20]]
    assert GUARD.find(ids) == Loop(start=10, period=3, length=90)


@pytest.mark.parametrize(
    "ids",
    [
        [],
        WORDS,
        [7] * 79,  # too short
        [7, 8, 9] * 26,
        WORDS[:40] * 3,  # too few times
        WORDS[:70] * 5,  # too long a stretch
        [7, 8] * 39 + WORDS + [7, 8] * 39,  # not in a row
    ],
)
def test_what_is_no_loop(ids: list[int]) -> None:
    assert GUARD.find(ids) is None


def test_the_end_of_a_loop_is_told() -> None:
    loop = GUARD.find([7, 8] * 50 + WORDS)
    assert loop is not None
    assert (loop.stop, loop.repeats) == (100, 50)


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=20),
    st.integers(4, 40),
    st.integers(0, 30),
    st.integers(0, 30),
)
def test_every_stretch_that_repeats_for_long_is_found(
    stretch: list[int], times: int, before: int, after: int
) -> None:
    ids = [*WORDS[:before], *stretch * times, *WORDS[100 : 100 + after]]
    loop = GUARD.find(ids)
    if len(stretch) * times >= GUARD.tokens:
        assert loop is not None
        assert loop.period <= len(stretch)
        assert loop.start >= before - loop.period
    if loop is not None:
        assert loop.length >= max(GUARD.tokens, GUARD.repeats * loop.period)
        run = ids[loop.start : loop.stop]
        assert run[loop.period :] == run[: -loop.period]


def shifted_grid() -> str:
    """The most regular solved Sudoku: every row is the first one, turned."""
    digits = "123456789"
    turns = [3 * (row % 3) + row // 3 for row in range(9)]
    return "\n".join(digits[turn:] + digits[:turn] for turn in turns)


@pytest.mark.parametrize("task", ["scenes", "json", "ask"])
def test_answers_of_the_tasks_are_no_loops(task: str) -> None:
    tokenizer = Tokenizer.from_folder(POCKET)
    given = tasks.get(task)
    for number in range(40):
        rng = random.Random(f"loops {number}")
        example = given.sample(rng, split="test", bin=given.bins[number % len(given.bins)])
        assert GUARD.find(tokenizer.encode(example.answer)) is None


@pytest.mark.parametrize("text", [shifted_grid(), inspect.getsource(textwrap)])
def test_grids_and_code_are_no_loops(text: str) -> None:
    assert GUARD.find(Tokenizer.from_folder(POCKET).encode(text)) is None


def test_the_tokens_of_a_loop_lose_what_the_rule_says() -> None:
    logits = torch.zeros(3, 6)
    Discourage(ids=[1, 4], nats=2.0).apply(logits, [], None)
    assert logits.tolist() == [[0, -2, 0, 0, -2, 0]] * 3


@pytest.mark.parametrize("wrong", [{"repeats": 1}, {"tokens": 0}, {"longest": 0}])
def test_limits_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        LoopGuard(**wrong)
