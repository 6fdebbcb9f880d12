"""How many rows run together follows what they cost."""

import pytest

from canvaslm.engine.serving.costs import Costs


def learnt(cost: "dict[int, float]", *, available: int, longest: float = 10.0) -> Costs:
    """After many passes on a machine where a pass of n rows takes cost[n]."""
    costs = Costs(longest=longest)
    for _ in range(40):
        rows = costs.rows("shape", available)
        size = max(known for known in cost if known <= rows)
        costs.note("shape", rows, cost[size] * rows / size)
    return costs


def test_a_machine_that_gains_from_company_runs_all_together() -> None:
    costs = learnt({1: 1.0, 2: 1.1, 4: 1.2, 8: 1.4, 16: 2.0}, available=16)
    assert costs.rows("shape", 16) == 16
    assert costs.rows("shape", 11) == 11
    assert costs.rows("shape", 1) == 1


def test_a_machine_that_loses_by_company_runs_one_at_a_time() -> None:
    costs = learnt({1: 1.0, 2: 2.4, 4: 5.0}, available=16)
    assert costs.rows("shape", 16) == 1


def test_it_stops_where_more_is_no_cheaper() -> None:
    costs = learnt({1: 1.0, 2: 1.2, 4: 1.6, 8: 4.0}, available=64)
    assert costs.rows("shape", 64) == 4


def test_no_pass_takes_longer_than_a_turn_may() -> None:
    cost = {1: 1.0, 2: 1.6, 4: 2.6, 8: 4.2, 16: 6.8}
    assert learnt(cost, available=64, longest=3.0).rows("shape", 64) == 4
    assert learnt(cost, available=64, longest=7.0).rows("shape", 64) == 8


def test_a_slight_gain_is_not_worth_the_wait() -> None:
    costs = learnt({1: 0.10, 2: 0.18, 4: 0.32}, available=16)
    assert costs.rows("shape", 16) == 1


def test_rows_that_cost_nearly_nothing_are_free() -> None:
    costs = learnt({1: 1.0, 2: 1.1, 4: 1.3, 8: 1.8, 16: 3.0}, available=16)
    assert costs.free("shape") == 4
    assert Costs().free("shape") == 1


@pytest.mark.parametrize("mishap", [3.0, 60.0])
def test_a_mishap_does_not_keep_rows_apart_for_ever(mishap: float) -> None:
    costs, cost = Costs(longest=0.5), {1: 0.1, 2: 0.12, 4: 0.16}
    costs.note("shape", 1, 0.1)
    costs.note("shape", 2, mishap)
    for _ in range(1500):
        rows = costs.rows("shape", 4)
        costs.note("shape", rows, cost[rows])
    assert costs.rows("shape", 4) == 4


def test_a_single_row_runs_however_long_it_takes() -> None:
    costs = Costs(longest=0.1)
    costs.note("shape", 1, 9.0)
    assert costs.rows("shape", 1) == 1
    for _ in range(3):
        costs.note("shape", 2, 17.0)
    assert costs.rows("shape", 8) == 1


@pytest.mark.parametrize("available", [1, 2, 3, 7, 100, 1000])
def test_it_asks_for_no_more_than_there_is(available: int) -> None:
    costs = Costs()
    for turn in range(300):
        rows = costs.rows("shape", available)
        assert 1 <= rows <= available
        costs.note("shape", rows, 0.001 * (turn % 5 + 1))
