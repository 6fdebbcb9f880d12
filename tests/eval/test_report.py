"""Reports: shares, intervals, JSON and Markdown."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvaslm.eval.asking import Asking, Mode
from canvaslm.eval.report import Report, markdown, summarise, wilson
from canvaslm.eval.trials.record import Record


def case(bin: str, *, correct: bool, steps: int | None = 5, **details: float) -> Record:
    return Record(
        task="sudoku",
        number=0,
        bin=bin,
        prompt="?",
        expected="!",
        answer="!",
        correct=correct,
        details=details,
        tokens=10,
        steps=steps,
        canvases=None if steps is None else 1,
        seconds=2.0,
        spent=1.0,
        seed=0,
    )


def report(mode: Mode = "diffusion") -> Report:
    cases = [case("a", correct=True, cells=1.0), case("b", correct=False, cells=0.5)]
    return summarise(cases, task="sudoku", asking=Asking(mode=mode))


@given(st.integers(1, 500), st.data())
def test_the_interval_holds_the_share_and_stays_a_share(n: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, n))
    low, high = wilson(right, n)
    assert 0 <= low <= right / n + 1e-12
    assert right / n - 1e-12 <= high <= 1


def test_the_interval_is_wilsons() -> None:
    # Published example: 15 of 20 is 0.531 to 0.888.
    assert wilson(15, 20) == pytest.approx((0.531, 0.888), abs=5e-4)


def test_details_are_means_over_the_cases_that_have_them() -> None:
    cases = [case("a", correct=True, x=1.0), case("a", correct=True, x=0.0, y=0.25)]
    row = summarise(cases, task="sudoku", asking=Asking()).total
    assert row.details == {"x": 0.5, "y": 0.25}
    assert {"details.x", "details.y"} <= set(row.bootstrap)


def test_what_a_server_does_not_tell_is_none_and_not_naught() -> None:
    told, silent = case("a", correct=True), case("a", correct=True, steps=None)
    row = summarise([silent], task="sudoku", asking=Asking()).total
    assert (row.steps_per_canvas, row.tokens_per_forward) == (None, None)
    assert "steps_per_canvas" not in row.bootstrap
    row = summarise([told, silent], task="sudoku", asking=Asking()).total
    assert (row.steps_per_canvas, row.tokens_per_forward) == (5, 2)


def test_every_figure_stands_within_its_interval() -> None:
    cases = [case("a", correct=i % 3 == 0, steps=1 + i % 5, x=i / 30) for i in range(30)]
    row = summarise(cases, task="sudoku", asking=Asking()).total
    values = {"score": row.score, "steps_per_canvas": row.steps_per_canvas}
    values |= {"tokens_per_forward": row.tokens_per_forward, "details.x": row.details["x"]}
    for name, value in values.items():
        low, high = row.bootstrap[name]
        assert value is not None
        assert low < value < high


def test_json_has_the_total_at_the_top_and_bins_below() -> None:
    document = json.loads(json.dumps(report().as_json()))
    assert document["score"] == 0.5
    assert document["n"] == 2
    assert document["details"] == {"cells": 0.75}
    assert document["bins"]["b"]["score"] == 0
    assert document["tokens_per_second"] == 10


def test_the_table_puts_the_modes_of_a_task_side_by_side() -> None:
    reports = [report("diffusion").as_json(), report("ar").as_json()]
    table = markdown(reports, bins=False).split("\n")
    assert len(table) == 3
    assert table[2] == "| sudoku | 50.0% | – | 50.0% | 5.0 | 2.0 | 10 | 10 |"
    with_bins = markdown(reports, bins=True).split("\n")
    assert with_bins[3].startswith("| sudoku, a | 100.0% | – | 100.0% |")
    assert len({row.count("|") for row in with_bins}) == 1
