"""Confidence and expectation, as the formats define them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvaslm import Pick, Rate, YesNo
from canvaslm.engine.decide.answers import (
    PickAnswer,
    RateAnswer,
    YesNoAnswer,
    answer_of,
    confidence,
)


@pytest.mark.parametrize("n", [2, 3, 255])
def test_confidence_is_0_when_flat_and_1_when_one_holds_all(n: int) -> None:
    assert confidence([1 / n] * n) == pytest.approx(0)
    assert confidence([1.0] + [0.0] * (n - 1)) == 1


@given(st.floats(0, 1))
def test_of_two_options_confidence_is_twice_the_distance_from_a_half(p: float) -> None:
    assert confidence([p, 1 - p]) == pytest.approx(abs(2 * p - 1), abs=1e-12)


def test_an_answer_says_what_is_likeliest() -> None:
    yes = answer_of(YesNo("Is it?"), [0.2, 0.8])
    assert isinstance(yes, YesNoAnswer)
    assert (yes.probability, yes.confidence) == (0.2, pytest.approx(0.6))
    pick = answer_of(Pick("Which?", ["a", "b", "c"]), [0.1, 0.6, 0.3])
    assert isinstance(pick, PickAnswer)
    assert (pick.choice, pick.probabilities["c"]) == ("b", 0.3)
    rate = answer_of(Rate("How?", ["low", "mid", "high"]), [0.5, 0.0, 0.5])
    assert isinstance(rate, RateAnswer)
    assert (rate.score, rate.level, rate.legend[2]) == (1.0, 0, "high")
