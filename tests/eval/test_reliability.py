"""Decisions by their probability."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import canvaslm
from canvaslm.engine.decide.calibration import Calibration
from canvaslm.engine.decide.fitting import Labelled
from canvaslm.errors import ParameterError
from canvaslm.eval.reliability import levels, reliability, softened


def case(probability: float, *, right: int = 0) -> Labelled:
    return Labelled(
        kind="yes_no", log_p=[math.log(probability), math.log1p(-probability)], right=right
    )


@given(st.lists(st.tuples(st.floats(0.01, 0.99), st.integers(0, 1)), min_size=1, max_size=30))
def test_every_answer_is_in_one_level(given: list[tuple[float, int]]) -> None:
    found = levels([case(p, right=right) for p, right in given])
    assert sum(level.n for level in found) == len(given)
    assert [level.probability for level in found] == sorted(level.probability for level in found)
    for level in found:
        assert 0.5 - 1e-9 <= level.probability <= 1
        assert level.interval[0] <= level.right + 1e-9
        assert level.right - 1e-9 <= level.interval[1]


def test_levels_by_hand() -> None:
    found = levels([case(0.72), case(0.78, right=1), case(0.25, right=1), case(0.999)])
    assert [(level.n, level.right) for level in found] == [(3, 2 / 3), (1, 1.0)]
    assert found[0].probability == pytest.approx(0.75)


def test_a_temperature_draws_answers_to_the_middle() -> None:
    soft = Calibration().replace("denoise", {"yes_no": 3.0})
    (one,) = levels([softened(case(0.99), soft, "denoise")])
    assert 0.5 < one.probability < 0.99
    assert levels([softened(case(0.99), soft, "causal")]) == levels([case(0.99)])


def test_a_model_is_judged_on_held_out_questions() -> None:
    lm = canvaslm.load()
    told: list[int] = []
    found = reliability(lm, n=8, progress=told.append)
    assert found.quality.n == sum(level.n for level in found.levels) == 8
    assert found == reliability(lm, n=8)
    assert max(told) == 8
    document = found.as_json()
    assert {"method", "n", "accuracy", "ece", "nll", "levels"} == set(document)
    with pytest.raises(ParameterError, match="n must be"):
        reliability(lm, n=0)
