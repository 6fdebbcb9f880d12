"""`canvaslm eval sudoku --file`: a user's puzzles, by bin, or a complaint by line."""

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Run

HARD = "4.....8.5.3..........7......2.....6.....8.4......1.......6.3.7.5..2.....1.4......"


@pytest.fixture
def puzzles(tmp_path: Path) -> Path:
    path = tmp_path / "hard.txt"
    path.write_text(f"{HARD}\n{HARD}\n")
    return path


def test_a_file_is_measured_in_both_kinds_of_bins(
    run: Run, checkpoint: Path, puzzles: Path
) -> None:
    asked = ("eval", "sudoku", "--model", checkpoint, "--file", puzzles, "--form", "rows")
    for more in (("--max-steps", 2, "--pins"), ("--one-shot",), ("--max-steps", 2, "--blind")):
        done = run(*asked, *more, "--json")
        assert done.code == 0, done.err
        document = json.loads(done.out)
        assert set(document["bins"]) == {"<24", "hard"}
        assert document["n"] == document["bins"]["hard"]["n"] == 2
        assert document["steps_per_canvas"] <= 2
        assert {"cells", "clues"} == set(document["details"])
    table = run(*asked, "--one-shot", "--n", 1)
    assert table.code == 0
    assert "<24" in table.out


def test_a_file_is_a_run_that_is_kept_gone_on_with_and_compared(
    run: Run, checkpoint: Path, puzzles: Path, tmp_path: Path
) -> None:
    asked = ("eval", "sudoku", "--model", checkpoint, "--file", puzzles, "--form", "rows")
    few, one = (*asked, "--max-steps", 2, "--batch", 1), tmp_path / "one"
    done = run(*few, "--out", one)
    assert done.code == 0, done.err
    assert f"{one / 'report.html'} has examples" in done.out
    cases = (one / "cases.jsonl").read_text().splitlines(keepends=True)
    assert [json.loads(case)["number"] for case in cases] == [0, 1]
    settings = json.loads((one / "run.json").read_text())
    assert (settings["file"], settings["form"], settings["max_steps"]) == (str(puzzles), "rows", 2)

    (one / "cases.jsonl").write_text(cases[0])
    again = run(*few, "--out", one, "--resume", "--json")
    assert again.code == 0, again.err
    found = [json.loads(case) for case in (one / "cases.jsonl").read_text().splitlines()]
    assert [case["answer"] for case in found] == [json.loads(case)["answer"] for case in cases]

    other = run(*few, "--pins", "--out", one, "--resume")
    assert other.code == 2
    assert "pins was False and is True" in other.err

    pinned = tmp_path / "pinned"
    assert run(*few, "--pins", "--out", pinned).code == 0
    compared = run("eval", "--compare", one, pinned, "--json")
    assert json.loads(compared.out)["tasks"]["sudoku-protocol"]["n"] == 2


def test_a_file_is_drawn(run: Run, checkpoint: Path, puzzles: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    asked = ("eval", "sudoku", "--model", checkpoint, "--file", puzzles, "--form", "rows")
    done = run(*asked, "--one-shot", "--plot", tmp_path / "plot.svg")
    assert done.code == 0, done.err
    assert (tmp_path / "plot.svg").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--pins",), "--pins would have no effect without --file"),
        (("--max-steps", 0), "--max-steps would have no effect without --file"),
        (("--file", "FILE", "--mode", "ar", "--batch", 4), "leave batch=4 out"),
        (("--file", "FILE", "--n", 0), "--n must be at least 1, got 0"),
        (("--one-shot", "--mode", "ar"), "--one-shot would have no effect with --mode ar"),
        (("--file", "FILE", "--one-shot", "--max-steps", 3), "leave one of them out"),
        (("--file", "FILE", "--mode", "ar", "--pins"), "pins would have no effect with mode ar"),
        (("--file", "FILE", "--effort", "fast"), "--effort cannot be combined with --file"),
        (("--file", "FILE", "--resume"), "name it with --out"),
        (("--file", "FILE", "--bin", "easy"), "no puzzle in bin easy"),
        (("--file", "FILE", "--bin", "none"), "no bin 'none'"),
        (("--file", "FILE", "--model", "http://localhost:1/v1"), "not a server"),
    ],
)
def test_what_would_have_no_effect_is_refused(
    run: Run, puzzles: Path, more: tuple[object, ...], said: str
) -> None:
    done = run("eval", "sudoku", *(puzzles if one == "FILE" else one for one in more))
    assert done.code != 0
    assert said in done.err


def test_a_bad_line_is_named_before_a_model_is_loaded(run: Run, puzzles: Path) -> None:
    puzzles.write_text(f"{HARD}\n{HARD}\n4{HARD[1:-1]}\n")
    done = run("eval", "sudoku", "--file", puzzles, "--model", "/nowhere")
    assert "hard.txt, line 3: the puzzle has 80 cells; expected 81" in done.err


def test_the_recipe_has_a_command(run: Run, tmp_path: Path) -> None:
    assert "--left-to-right" in run("train", "sudoku", "--help").out
    done = run("train", "sudoku", "--size", 65, "--out", tmp_path)
    assert "hidden_size must be a multiple of 32" in done.err
