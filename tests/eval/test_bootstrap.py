"""Intervals by resampling."""

import math
import random

from hypothesis import given
from hypothesis import strategies as st

from canvaslm.eval.bootstrap import intervals, mean


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=20), st.integers(0, 9))
def test_the_same_seed_gives_the_same_interval_within_the_values(
    values: list[float], seed: int
) -> None:
    (low, high) = intervals({"x": mean(values)}, seed=seed, draws=50)["x"]
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9
    assert intervals({"x": mean(values)}, seed=seed, draws=50)["x"] == (low, high)


def test_its_width_is_that_of_the_standard_error() -> None:
    rng = random.Random(0)
    values = [rng.gauss(0, 1) for _ in range(400)]
    low, high = intervals({"x": mean(values)})["x"]
    assert math.isclose(high - low, 2 * 1.96 / math.sqrt(400), rel_tol=0.15)


def test_a_ratio_counts_only_cases_that_have_it() -> None:
    found = intervals({"x": ([2.0, 0.0, 4.0], [1.0, 0.0, 2.0]), "none": ([0.0] * 3, [0.0] * 3)})
    assert found == {"x": (2.0, 2.0)}


def test_of_no_cases_there_is_no_interval() -> None:
    assert intervals({}) == {}
    assert intervals({"x": mean([])}) == {}
