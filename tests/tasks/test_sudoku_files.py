"""Files of puzzles are read in every public form, and what is wrong is said by line."""

import random
from pathlib import Path

import pytest

from canvaslm.errors import TaskError
from canvaslm.tasks.sudoku import Sudoku
from canvaslm.tasks.sudoku_files import read_puzzles
from canvaslm.tasks.sudoku_grid import canonical, count_solutions, random_solution, random_symmetry
from canvaslm.tasks.sudoku_protocol import OWN_BINS, OWNER_BINS, ProtocolSudoku, bin_of, spaced
from canvaslm.tasks.sudoku_sparse import thin
from canvaslm.tasks.task import split_of

HARD = "4.....8.5.3..........7......2.....6.....8.4......1.......6.3.7.5..2.....1.4......"
SOLVED = "417369825632158947958724316825437169791586432346912758289643571573291684164875293"
ZEROS = HARD.replace(".", "0")


def written(folder: Path, text: str) -> Path:
    path = folder / "puzzles.txt"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        f"# Norvig's\n\n{HARD}\n",
        f"{ZEROS}\r\n",
        " ".join(ZEROS) + "\n",
        f"{ZEROS},{SOLVED}\n",
        f"{ZEROS} {SOLVED}\n",
        f"puzzle,solution\n{ZEROS},{SOLVED}\n",
        f"quizzes,solutions\n{ZEROS},{SOLVED}\n",
        f"source,question,answer,rating\npuzzles0,{HARD},{SOLVED},12\n",
        f"\ufeffpuzzle\n{HARD}\n",
    ],
)
def test_every_public_form_is_read(tmp_path: Path, text: str) -> None:
    (puzzle,) = read_puzzles(written(tmp_path, text))
    assert "".join(map(str, puzzle.cells)) == ZEROS
    assert "".join(map(str, puzzle.solution)) == SOLVED
    assert text.splitlines()[puzzle.line - 1].strip()
    assert puzzle.example().prompt == spaced(puzzle.cells)
    assert puzzle.example().bin == "<24"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (HARD[:-1], "line 2: the puzzle has 80 cells; expected 81"),
        ("x" + HARD[1:], "line 2: the puzzle holds 'x'"),
        ("44" + HARD[2:], "line 2: the clues contradict each other: 4 stands twice in row 1"),
        ("4" + "." * 80, "line 2: the puzzle has several solutions"),
        ("12345678" + "." * 36 + "9" + "." * 36, "line 2: the puzzle has no solution"),
        (f"{ZEROS},{SOLVED[:-1]}", "line 2: the solution has 80 cells"),
        (f"{ZEROS},{'5' + SOLVED[1:]}", "line 2: the solution has 5 in row 1, column 1"),
        (f"{ZEROS},{SOLVED[:-1] + '4'}", "line 2: the solution's digits contradict each other"),
        (f"{ZEROS},{SOLVED},3", "line 2: 3 fields"),
    ],
)
def test_what_cannot_be_used_is_refused_by_line(tmp_path: Path, row: str, said: str) -> None:
    with pytest.raises(TaskError, match=said):
        read_puzzles(written(tmp_path, f"{HARD}\n{row}\n"))


def test_a_table_without_a_puzzle_column_or_with_a_short_row_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="the columns are grid, answer; expected one of puzzle"):
        read_puzzles(written(tmp_path, f"grid,answer\n{HARD},{SOLVED}\n"))
    with pytest.raises(TaskError, match="line 3: 1 columns, the header has 2"):
        read_puzzles(written(tmp_path, f"puzzle,solution\n{HARD},{SOLVED}\n{HARD}\n"))


def test_no_file_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="cannot read"):
        read_puzzles(tmp_path / "none.txt")
    with pytest.raises(TaskError, match="holds no puzzle"):
        read_puzzles(written(tmp_path, "# nothing\n\n"))


def test_only_the_first_are_read_where_so_many_are_wanted(tmp_path: Path) -> None:
    assert len(read_puzzles(written(tmp_path, f"{HARD}\nwrong\n"), most=1)) == 1


def test_every_number_of_clues_has_a_bin() -> None:
    assert [bin_of(n, OWNER_BINS) for n in (29, 30, 39, 40, 81)] == [
        "hard", "medium", "medium", "easy", "easy",
    ]  # fmt: skip
    assert [bin_of(n, OWN_BINS) for n in (17, 23, 24, 29, 30, 35, 36)] == [
        "<24", "<24", "24-29", "24-29", "30-35", "30-35", ">=36",
    ]  # fmt: skip


def test_the_protocol_asks_with_digits_apart_and_scores_the_last_81() -> None:
    task = ProtocolSudoku(puzzles=Sudoku(train_pool=8, test_pool=4))
    example = task.sample(random.Random(3), split="train", bin="40+")
    assert len(example.prompt.split(" ")) == len(example.answer.split(" ")) == 81
    assert task.score(example, f"It is 9: {example.answer}").correct
    assert not task.score(example, example.prompt).correct
    assert task.score(example, example.prompt).details["clues"] == 1.0


def test_thin_puzzles_are_minimal_and_have_one_solution() -> None:
    rng = random.Random(5)
    solution = random_solution(rng)
    puzzle = thin(solution, rng, rounds=5)
    assert count_solutions(puzzle) == 1
    for cell, digit in enumerate(puzzle):
        assert digit in (0, solution[cell])
        if digit:
            assert count_solutions((*puzzle[:cell], 0, *puzzle[cell + 1 :])) == 2


def test_no_symmetric_form_of_a_held_out_grid_is_on_the_training_side() -> None:
    rng = random.Random(7)
    task = ProtocolSudoku(puzzles=Sudoku(train_pool=8, test_pool=4))
    held_out = task.sample(rng, split="test")
    for _ in range(50):
        source, digits = random_symmetry(rng)
        cells = held_out.answer.split(" ")
        form = tuple(digits[int(cells[cell])] for cell in source)
        assert canonical(form) == held_out.canonical
        assert split_of(canonical(form)) == "test"
    for _ in range(50):
        assert split_of(task.sample(rng, split="train").canonical) == "train"
