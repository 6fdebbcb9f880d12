"""Cases: held out, of the kind asked for, and the same whenever asked again."""

from pathlib import Path

import pytest

import canvaslm
from canvaslm.errors import ParameterError, TaskError
from canvaslm.eval.infill_cases import KINDS, ORIGINS, InfillPlan, infill_cases
from canvaslm.tasks import split_of
from canvaslm.tasks.code_stdlib import canonical, parse

LIBRARY = Path(canvaslm.__file__).parent


def plan(n: int = 60, **options: object) -> InfillPlan:
    return InfillPlan(n=n, library=LIBRARY, **options)  # type: ignore[arg-type]


def test_every_case_is_a_held_out_function_with_a_gap() -> None:
    for case in infill_cases(plan()):
        assert split_of(case.canonical) == "test"
        assert canonical(case.gap.source) == case.canonical
        assert parse(case.gap.source)
        least, most = map(int, case.length.removesuffix(" characters").split("-"))
        assert least <= len(case.gap.answer) <= most


def test_kinds_are_what_their_names_say() -> None:
    lines = {"single-line": {1}, "multi-line": {2, 3, 4}}
    for case in infill_cases(plan()):
        if case.kind in lines:
            assert case.gap.answer.count("\n") + 1 in lines[case.kind]
            assert case.gap.before.endswith("\n")


def test_cases_are_spread_evenly() -> None:
    cases = infill_cases(plan(12))
    groups = [(case.origin, case.kind, case.number) for case in cases]
    assert sorted(groups) == sorted((o, k, i) for o in ORIGINS for k in KINDS for i in (0, 1))


def test_more_cases_contain_the_fewer_and_a_kind_alone_is_the_same() -> None:
    many = infill_cases(plan(30, seed=5))
    assert many[:7] == infill_cases(plan(7, seed=5))
    alone = infill_cases(plan(5, seed=5, kinds=["multi-line"], origins=["textbook"]))
    assert alone == [c for c in many if (c.kind, c.origin) == ("multi-line", "textbook")]
    assert many != infill_cases(plan(30, seed=6))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"n": 0}, "n must be"),
        ({"max_gap": 0}, "max_gap must be"),
        ({"kinds": ["half-line"]}, "half-line"),
        ({"kinds": []}, "got none"),
        ({"origins": ["web"]}, "web"),
    ],
)
def test_a_wrong_plan_is_refused(options: dict[str, object], reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        InfillPlan(**options)  # type: ignore[arg-type]


def test_a_library_without_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="no function"):
        infill_cases(InfillPlan(library=tmp_path))
