"""Two runs, pair by pair."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.eval.trials.small import record

from canvaslm.errors import ParameterError
from canvaslm.eval.trials.compare import compare, finished, mcnemar
from canvaslm.eval.trials.folder import Folder

Verdicts = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=20)


@given(Verdicts)
def test_the_other_way_round_is_the_opposite(verdicts: list[tuple[bool, bool]]) -> None:
    a = [record(i, correct=mine) for i, (mine, _) in enumerate(verdicts)]
    b = [record(i, correct=other) for i, (_, other) in enumerate(verdicts)]
    one, back = compare(a, b)["sums"], compare(b, a)["sums"]
    assert (one.wins, one.losses, one.ties) == (back.losses, back.wins, back.ties)
    assert one.wins + one.losses + one.ties == one.n == len(verdicts)
    assert one.difference == -back.difference == pytest.approx(one.a - one.b)
    assert one.p == back.p
    assert one.interval[0] <= one.difference + 1e-9
    assert one.difference - 1e-9 <= one.interval[1]


def test_the_test_is_mcnemars() -> None:
    # Of 10 fair coins at most 1 falls one way: 2 * (1 + 10) / 1024.
    assert mcnemar(9, 1) == mcnemar(1, 9) == 22 / 1024
    assert mcnemar(0, 0) == mcnemar(3, 3) == 1
    assert mcnemar(5, 0) == 2 / 32
    assert 0 < mcnemar(2000, 1000) < 1e-9


def test_costs_are_ratios_of_sums_and_none_where_nothing_is_told() -> None:
    a = [record(0, steps=2, seconds=1.0), record(1, steps=None, seconds=1.0)]
    b = [record(0, steps=8, seconds=4.0), record(1, steps=100, seconds=0.0)]
    found = compare(a, b)["sums"]
    assert (found.steps_ratio, found.seconds_ratio) == (0.25, 0.5)
    silent = compare(a[1:], b[1:])["sums"]
    assert (silent.steps_ratio, silent.steps_interval) == (None, None)
    assert (silent.seconds_ratio, silent.seconds_interval) == (None, None)


def test_only_shared_cases_count_and_several_tasks_have_a_sum() -> None:
    a = [record(0), record(1), record(0, task="other", correct=False)]
    b = [record(1, correct=False), record(0, task="other"), record(7)]
    found = compare(a, b)
    assert {name: one.n for name, one in found.items()} == {"sums": 1, "other": 1, "all": 2}
    assert (found["all"].wins, found["all"].losses) == (1, 1)


def test_what_cannot_be_paired_is_refused() -> None:
    with pytest.raises(ParameterError, match="no case in common"):
        compare([record(0)], [record(1)])
    with pytest.raises(ParameterError, match="asks something else"):
        compare([record(0)], [record(0, prompt="other")])


def test_a_run_must_be_finished(tmp_path: Path) -> None:
    folder = Folder.begin(tmp_path / "run", {"cases": 2}, resume=False)
    folder.keep([record(0)])
    with pytest.raises(ParameterError, match="1 of 2 cases"):
        finished(folder)
    folder.keep([record(1)])
    assert len(finished(folder)) == 2
