"""Two ways to answer are compared on the cases that both have answered."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvaslm.eval.paired import Answered, Estimate, compare


def answered(correct: bool, *, steps: int = 4, tokens: int = 50, ms: float = 10.0) -> Answered:
    return Answered(correct=correct, steps=steps, canvases=1, tokens=tokens, milliseconds=ms)


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=30))
def test_the_error_of_a_mean_is_its_standard_error(values: list[float]) -> None:
    estimate = Estimate.of(values)
    assert estimate.mean == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert estimate.error == pytest.approx(
        statistics.stdev(values) / math.sqrt(len(values)), abs=1e-9
    )


def test_one_case_says_nothing_of_the_error() -> None:
    assert Estimate.of([1.0]) == Estimate(mean=1.0, error=None)


def test_a_comparison_by_hand() -> None:
    base = {0: answered(True), 1: answered(False), 2: answered(True, tokens=10), 9: answered(True)}
    mine = {
        0: answered(True, steps=2, ms=5.0),
        1: answered(True, steps=3, ms=6.0),
        2: answered(False, steps=1, ms=2.5),
    }
    found = compare(mine, base)
    assert found.n == 3
    assert (found.score.mean, found.difference.mean) == (pytest.approx(2 / 3), 0.0)
    assert found.difference.error == pytest.approx(math.sqrt(1 / 3))
    assert (found.steps, found.steps_ratio) == (2.0, 0.5)
    assert (found.milliseconds, found.time_ratio) == (4.5, 0.45)
    assert (found.short, found.short_ratio) == (1, 0.25)


def test_without_short_answers_there_is_no_ratio_of_theirs() -> None:
    assert compare({0: answered(True)}, {0: answered(True)}).short_ratio is None
