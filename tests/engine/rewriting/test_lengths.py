"""The search for the length of a gap, on made confidences."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvaslm.engine.rewriting.lengths import FLAT, LengthBias, best, coarse, search


@given(st.integers(1, 300))
def test_coarse_lengths_reach_from_one_to_the_most(most: int) -> None:
    lengths = coarse(most)
    assert (lengths[0], lengths[-1]) == (1, most)
    assert lengths == sorted(set(lengths))
    assert len(lengths) < 25


@given(st.integers(1, 64))
def test_a_single_hill_is_climbed(top: int) -> None:
    looked: list[int] = []

    def measure(lengths: list[int]) -> list[float]:
        looked.extend(lengths)
        return [1 / (1 + abs(length - top)) for length in lengths]

    scores = search(measure, FLAT, most=64, keep=3)
    assert best(scores, 1) == [top]
    assert len(looked) == len(set(looked)) < 45


def test_what_length_alone_does_is_divided_out() -> None:
    bias = LengthBias(scale=0.8, power=-1.0)
    scores = search(lambda ks: [bias.at(k) * (1 + (k == 4)) for k in ks], bias, most=8, keep=1)
    assert scores[4] == pytest.approx(2)
    assert {round(score, 9) for length, score in scores.items() if length != 4} == {1}


def test_a_bias_is_fitted_through_what_was_measured() -> None:
    lengths = [1, 2, 5, 30]
    bias = LengthBias.fit(lengths, [0.4 * length**-0.5 for length in lengths])
    assert (bias.scale, bias.power) == (pytest.approx(0.4), pytest.approx(-0.5))
    assert FLAT.at(7) == 1


def test_of_equal_scores_the_shorter_length_is_better() -> None:
    assert best({5: 1.0, 2: 1.0, 3: 0.5}, 2) == [2, 5]
