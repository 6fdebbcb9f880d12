"""`canvaslm train star` and `train motif`, and the tasks that they teach."""

from pathlib import Path

import pytest
from tests.cli.conftest import Run

from canvaslm.tasks import LEARNT


@pytest.mark.parametrize("task", LEARNT)
@pytest.mark.parametrize(
    ("option", "reason"),
    [(("--rank", 0), "rank"), (("--steps", 0), "steps"), (("--rehearse", -1), "choose 0 or more")],
)
def test_a_run_of_nothing_is_refused(
    run: Run, tmp_path: Path, task: str, option: tuple[object, ...], reason: str
) -> None:
    done = run("train", task, "--out", tmp_path / "run", *option)
    assert (done.code, done.out) == (2, "")
    assert reason in done.err
    assert not (tmp_path / "run").exists()


def test_all_stands_for_what_the_embedded_model_knows(run: Run) -> None:
    done = run("eval", "all", "star")
    assert done.code == 2
    assert "all stands for sudoku, scenes, ask, json, code: give it alone" in done.err
