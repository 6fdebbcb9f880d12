"""Infilling measured: a perfect filler gets everything, others what they deserve."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import canvaslm
from canvaslm.eval.infill import Sample, measure_infill
from canvaslm.eval.infill_cases import InfillPlan, infill_cases
from canvaslm.eval.infill_fill import Fill, Filling, Method
from canvaslm.eval.infill_report import InfillReport, summarise_infill

PLAN = InfillPlan(n=12, seed=3, library=Path(canvaslm.__file__).parent)
TEXTBOOK = InfillPlan(n=6, seed=3, kinds=["single-line", "multi-line"], origins=["textbook"])
METHOD: Method = "infill"


def filler(plan: InfillPlan, change: Callable[[str], str]) -> Fill:
    """Fills in what is right, changed; each filling takes 4 steps and half a second."""
    answers = {(c.gap.before, c.gap.after): c.gap.answer for c in infill_cases(plan)}

    def fill(prefix: str, suffix: str, max_gap: int) -> Filling:
        text = change(answers[prefix, suffix])
        return Filling(text=text, tokens=len(text.split()), steps=4, seconds=0.5)

    return fill


def measure(
    plan: InfillPlan, change: Callable[[str], str], *, execute: bool = False
) -> InfillReport:
    samples = measure_infill({METHOD: filler(plan, change)}, plan, execute=execute)
    return summarise_infill(samples, plan, executed=execute)


def test_a_perfect_filler_gets_everything() -> None:
    rows = measure(PLAN, str).rows[METHOD]
    for origin in ("stdlib", "textbook"):
        for row in rows[origin].values():
            assert row.n == row.exact == row.trimmed == row.compiles
            assert (row.steps, row.seconds) == (4, 0.5)


def test_another_ending_is_exact_up_to_white_space() -> None:
    row = measure(TEXTBOOK, lambda answer: f"{answer}  ").rows[METHOD]["textbook"]["all"]
    assert (row.exact, row.trimmed, row.compiles) == (0, 6, 6)


@pytest.mark.parametrize("text", ["", ")("])
def test_an_empty_and_a_wrong_filler_get_nothing_exact(text: str) -> None:
    row = measure(PLAN, lambda _: text).rows[METHOD]["stdlib"]["all"]
    assert (row.n, row.exact, row.trimmed) == (6, 0, 0)
    assert text == "" or row.compiles < row.n  # within a string anything compiles


def test_rows_of_kinds_and_of_lengths_add_up() -> None:
    rows = measure(PLAN, str).rows[METHOD]["textbook"]
    kinds = [row.n for name, row in rows.items() if "-line" in name or "span" in name]
    lengths = [row.n for name, row in rows.items() if name.endswith("characters")]
    assert sum(kinds) == sum(lengths) == rows["all"].n == 6


def test_tests_are_run_on_request_only() -> None:
    plain = measure(TEXTBOOK, str).rows[METHOD]["textbook"]["all"]
    assert (plain.tested, plain.passed) == (0, 0)
    right = measure(TEXTBOOK, lambda answer: f"{answer} ", execute=True)
    row = right.rows[METHOD]["textbook"]["all"]
    assert (row.tested, row.passed) == (6, 6)
    wrong = measure(TEXTBOOK, lambda _: "    raise OSError", execute=True)
    assert wrong.rows[METHOD]["textbook"]["all"].passed == 0


def test_samples_are_recorded_as_they_come() -> None:
    seen: list[Sample] = []
    told: list[tuple[int, int]] = []
    found = measure_infill(
        {METHOD: filler(PLAN, str)},
        PLAN,
        record=seen.append,
        progress=lambda done, right: told.append((done, right)),
    )
    assert seen == found
    assert told[-1] == (12, 12)
    line = json.loads(json.dumps(found[0].as_json()))
    assert line["prefix"] + line["text"] + line["suffix"] == found[0].case.gap.source
    assert (line["method"], line["exact"], line["passed"]) == (METHOD, True, None)


def test_the_report_is_json() -> None:
    document = json.loads(json.dumps(measure(TEXTBOOK, str).as_json()))
    assert (document["task"], document["n"], document["executed"]) == ("infill", 6, False)
    assert document["methods"][METHOD]["textbook"]["single-line"]["exact"] == 3
