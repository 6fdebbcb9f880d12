"""Puzzles have one solution, the clues of their bin, and a case of their own."""

import random
from pathlib import Path

import pytest

from canvaslm.errors import TaskError
from canvaslm.tasks import sudoku
from canvaslm.tasks.sudoku import CLUES, Sudoku
from canvaslm.tasks.sudoku_grid import canonical, count_solutions, solve
from canvaslm.tasks.task import Example

TASK = Sudoku(train_pool=24, test_pool=8)


def digits(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.replace("\n", "")))


@pytest.fixture(params=CLUES)
def example(request: pytest.FixtureRequest, rng: random.Random) -> Example:
    return TASK.sample(rng, split="train", bin=request.param)


def test_puzzles_have_the_clues_of_their_bin(rng: random.Random) -> None:
    for name, (fewest, most) in CLUES.items():
        for split in ("train", "test"):
            counts = {
                81 - TASK.puzzle(TASK.sample(rng, split=split, bin=name)).count(0)
                for _ in range(100)
            }
            assert fewest <= min(counts) <= max(counts) <= most
    easy = [TASK.puzzle(TASK.sample(rng, split="train", bin="40+")) for _ in range(300)]
    assert {81 - puzzle.count(0) for puzzle in easy} == set(range(40, 51))


def test_puzzles_have_one_solution_and_it_is_the_answer(example: Example) -> None:
    puzzle = TASK.puzzle(example)
    assert count_solutions(puzzle) == 1
    assert solve(puzzle) == digits(example.answer)


def test_the_case_is_the_solution_up_to_symmetry(example: Example) -> None:
    assert example.canonical == canonical(digits(example.answer))


def test_prompt_and_answer_are_nine_rows_of_nine(example: Example) -> None:
    head, *rows = example.prompt.split("\n")
    assert head == "Solve this Sudoku:"
    assert [len(row) for row in rows] == [9] * 9
    assert [len(row) for row in example.answer.split("\n")] == [9] * 9
    assert len(example.answer) == 89


def test_the_last_81_digits_count(example: Example) -> None:
    talk = f"81 cells, as you see:\n{TASK.puzzle(example)}\nand so\n{example.answer}\n"
    assert TASK.score(example, talk).correct
    assert not TASK.score(example, f"{talk} 1").correct


def test_one_wrong_cell_is_wrong_and_measured(example: Example) -> None:
    puzzle = TASK.puzzle(example)
    blank, clue = puzzle.index(0), next(cell for cell, digit in enumerate(puzzle) if digit)
    for cell, clues_right in ((blank, True), (clue, False)):
        solution = list(digits(example.answer))
        solution[cell] = solution[cell] % 9 + 1
        score = TASK.score(example, "".join(map(str, solution)))
        assert not score.correct
        assert score.details["cells"] == 80 / 81
        assert (score.details["clues"] == 1.0) == clues_right


def test_too_few_digits_are_wrong(example: Example) -> None:
    score = TASK.score(example, example.answer[:-1])
    assert (score.correct, dict(score.details)) == (False, {"cells": 0.0, "clues": 0.0})


def test_the_pool_is_the_same_whether_read_or_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
        for _ in range(2):
            sudoku._pool.cache_clear()
            drawn.append(Sudoku(train_pool=5).sample(random.Random(1), split="train"))
    assert len(set(drawn)) == 1


def test_a_pool_without_puzzles_is_refused() -> None:
    with pytest.raises(TaskError, match="test_pool=0: a split needs at least one"):
        Sudoku(test_pool=0)
