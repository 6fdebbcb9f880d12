"""A run goes on where it stood, with the same cases."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.eval.trials.small import Adder, record, sums

from canvaslm.errors import ParameterError
from canvaslm.eval.asking import Asking
from canvaslm.eval.trials.answer import answer
from canvaslm.eval.trials.folder import Folder
from canvaslm.eval.trials.local import Local
from canvaslm.eval.trials.record import Record

SUITES = [sums("a", 5), sums("b", 4)]


def still() -> float:
    return 0.0


def run(model: Adder, folder: Folder, *, batch: int = 1) -> list[Record]:
    return answer(
        SUITES,
        Local(lm=model, clock=still),
        Asking(batch=batch),
        known=folder.records(),
        keep=folder.keep,
    )


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("lives", [0, 1, 2, 3])
def test_a_run_that_dies_is_finished_as_if_it_had_not(
    tmp_path: Path, batch: int, lives: int
) -> None:
    whole = run(Adder(), Folder.begin(tmp_path / "whole", {}, resume=False), batch=batch)
    folder = Folder.begin(tmp_path / "killed", {}, resume=False)
    first = Adder(lives)
    with pytest.raises(KeyboardInterrupt):
        run(first, folder, batch=batch)
    second = Adder()
    resumed = run(second, Folder.begin(tmp_path / "killed", {}, resume=True), batch=batch)
    assert resumed == whole
    assert first.asked + second.asked == [item.example.prompt for s in SUITES for item in s.items]
    assert folder.records() == resumed


def test_a_case_that_was_cut_off_is_asked_again_in_its_old_company(tmp_path: Path) -> None:
    whole = run(Adder(), Folder.begin(tmp_path / "whole", {}, resume=False), batch=3)
    folder = Folder.begin(tmp_path / "cut", {}, resume=False)
    run(Adder(), folder, batch=3)
    file = tmp_path / "cut" / "cases.jsonl"
    file.write_bytes(file.read_bytes()[:-10])
    assert len(folder.records()) == 8
    model = Adder()
    assert run(model, Folder.begin(tmp_path / "cut", {}, resume=True), batch=3) == whole
    assert model.asked == ["b: 10 + 3"]
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:1]))
    model = Adder()
    assert run(model, Folder.begin(tmp_path / "cut", {}, resume=True), batch=3) == whole
    assert model.asked[:3] == ["a: 10 + 0", "a: 10 + 1", "a: 10 + 2"]


def test_cases_of_other_data_are_refused() -> None:
    known = replace(record(0, task="a"), prompt="something else")
    with pytest.raises(ParameterError, match="case 0 of a"):
        answer(SUITES, Local(lm=Adder()), Asking(), known=[known])
    with pytest.raises(ParameterError, match="case 9 of a"):
        answer(SUITES, Local(lm=Adder()), Asking(), known=[record(9, task="a")])


def test_progress_begins_with_what_is_known() -> None:
    told: list[tuple[int, int]] = []
    known = answer(SUITES[:1], Local(lm=Adder()), Asking())[:3]
    answer(
        SUITES[:1], Local(lm=Adder()), Asking(), known=known, progress=lambda *now: told.append(now)
    )
    assert told == [(3, 3), (4, 4), (5, 5)]
