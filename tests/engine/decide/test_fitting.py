"""Temperatures that fit, and the measures they are judged by."""

import math
import random

import pytest

from canvaslm.engine.decide.calibration import soften
from canvaslm.engine.decide.fitting import (
    Labelled,
    calibration_error,
    fit,
    fit_all,
    negative_log_likelihood,
    quality,
)
from canvaslm.errors import ParameterError


def overconfident(n: int, *, temperature: float) -> list[Labelled]:
    """Answers of a model whose logits are `temperature` times too large."""
    rng, cases = random.Random(0), []
    for _ in range(n):
        truth = [rng.gauss(0, 1.5) for _ in range(3)]
        right = rng.choices(range(3), weights=soften(truth, 1.0))[0]
        log_p = [value * temperature for value in truth]
        cases.append(Labelled(kind="pick", log_p=log_p, right=right))
    return cases


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_spoiled_the_answers_is_found(temperature: float) -> None:
    assert fit(overconfident(1500, temperature=temperature)) == pytest.approx(temperature, rel=0.15)


def test_no_other_temperature_is_likelier() -> None:
    cases = overconfident(500, temperature=2.0)
    best = fit(cases)
    at_best = negative_log_likelihood(cases, best)
    for other in (0.1, best * 0.9, best * 1.1, 10.0):
        assert at_best < negative_log_likelihood(cases, other)


def test_two_answers_do_not_make_it_certain() -> None:
    cases = [Labelled(kind="rate", log_p=[-0.1, -2.4], right=0)] * 2
    assert 0.2 < fit(cases) < 1


def test_calibrating_mends_the_error_and_leaves_the_choices() -> None:
    found = fit_all(overconfident(1500, temperature=3.0))["pick"]
    assert found.after.ece < 0.5 * found.before.ece
    assert found.after.nll < found.before.nll
    assert found.after.accuracy == found.before.accuracy
    assert found.before.n == 1500


def test_the_calibration_error_is_the_distance_of_belief_from_truth() -> None:
    assert calibration_error([0.9] * 10, [True] * 9 + [False]) == pytest.approx(0)
    assert calibration_error([1.0] * 4, [True, True, False, False]) == pytest.approx(0.5)
    assert calibration_error([0.6, 0.9], [True, True]) == pytest.approx((0.4 + 0.1) / 2)


def test_a_certain_mistake_costs_much_and_not_everything() -> None:
    wrong = quality([Labelled(kind="pick", log_p=[0.0, -2000.0], right=1)])
    assert wrong.accuracy == 0
    assert 100 < wrong.nll < math.inf


def test_too_few_answers_are_refused() -> None:
    case = Labelled(kind="rate", log_p=[-0.7, -0.7], right=0)
    with pytest.raises(ParameterError, match="only 1 answer of kind rate"):
        fit_all([case])
    with pytest.raises(ParameterError, match="no answers"):
        fit_all([])
