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
        assert set(document["bins"]) == {"<24", "hard", "all"}
        assert document["bins"]["all"]["n"] == 2
        assert document["bins"]["all"]["steps"] <= 2
    table = run(*asked, "--one-shot", "--n", 1)
    assert table.code == 0
    assert "<24" in table.out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--pins",), "--pins would have no effect without --file"),
        (("--max-steps", 0), "--max-steps would have no effect without --file"),
        (("--file", "FILE", "--mode", "ar", "--batch", 4), "leave --batch 4 out"),
        (("--file", "FILE", "--n", 0), "--n must be at least 1, got 0"),
        (("--one-shot", "--mode", "ar"), "--one-shot would have no effect with --mode ar"),
        (("--file", "FILE", "--one-shot", "--max-steps", 3), "leave one of them out"),
        (("--file", "FILE", "--mode", "ar", "--pins"), "pins would have no effect with mode ar"),
        (("--file", "FILE", "--out", "run"), "--out cannot be combined with --file"),
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
