"""Gaps: nothing is lost, nothing of the signature is asked for, sizes are kept."""

import random
from functools import partial

import pytest

from canvaslm.tasks import code_textbook
from canvaslm.tasks.code_gaps import Remove, remove_end, remove_lines, remove_span

SHORT = "def f(x):\n    return x"


@pytest.mark.parametrize("remove", [remove_lines, remove_span, remove_end])
def test_the_pieces_are_the_function_and_the_signature_is_given(remove: Remove) -> None:
    rng = random.Random(1)
    for _ in range(200):
        source = code_textbook.function(rng)
        gap = remove(source, rng)
        if gap is not None:
            assert gap.source == source
            assert gap.answer.strip()
            assert gap.before.startswith(source.split("\n")[0] + "\n")


@pytest.mark.parametrize(("fewest", "most"), [(1, 1), (2, 4)])
def test_so_many_whole_lines_are_missing(fewest: int, most: int) -> None:
    rng = random.Random(2)
    counts = set()
    for _ in range(300):
        gap = remove_lines(code_textbook.function(rng), rng, fewest=fewest, most=most)
        if gap is not None:
            assert gap.before.endswith("\n")
            assert gap.after == "" or gap.after.startswith("\n")
            counts.add(gap.answer.count("\n") + 1)
    assert counts == set(range(fewest, most + 1))


def test_a_function_without_room_for_the_gap_gets_none() -> None:
    assert remove_lines(SHORT, random.Random(0), fewest=2) is None


def test_what_follows_the_last_lines_is_nothing() -> None:
    gap = remove_end(SHORT, random.Random(0))
    assert gap is not None
    assert (gap.before, gap.answer, gap.after) == ("def f(x):\n", "    return x", "")


def test_the_same_draws_make_the_same_gap() -> None:
    remove = partial(remove_lines, fewest=1, most=2)
    source = code_textbook.function(random.Random(3))
    assert remove(source, random.Random(4)) == remove(source, random.Random(4))
