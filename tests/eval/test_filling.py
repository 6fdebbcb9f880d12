"""A Sudoku watched while it is solved, and kept as a case of a run."""

import pytest

import canvaslm
from canvaslm import LM
from canvaslm.engine.create import new_checkpoint
from canvaslm.errors import ParameterError
from canvaslm.eval.filling import fill
from canvaslm.eval.grids import Grids, asking_of, solved_of, suite_of
from canvaslm.eval.sudoku import How, on_canvas, solve_all
from canvaslm.eval.trials.answer import answer
from canvaslm.tasks.sudoku_files import Puzzle, read_puzzles
from canvaslm.tasks.sudoku_protocol import digits_of
from canvaslm.training.sudoku import GridModel

HARD = "4.....8.5.3..........7......2.....6.....8.4......1.......6.3.7.5..2.....1.4......"
TIMES = {"seconds": 0.0}


@pytest.fixture(scope="module")
def grids(tmp_path_factory: pytest.TempPathFactory) -> LM:
    """A tiny Sudoku model with random weights."""
    place, start = tmp_path_factory.mktemp("grids"), GridModel(hidden_size=64, num_layers=3)
    files = {name: text.encode() for name, text in start.vocabulary_files(0)}
    config = start.config(start.tokenizer(place / "run", seed=0))
    settings = {"max_denoising_steps": 4, "eos_token_id": list(config.eos_ids)}
    model = new_checkpoint(config, place / "model", generation=settings, extra_files=files)
    return canvaslm.load(model, dtype="float32")


@pytest.fixture(scope="module")
def puzzles(tmp_path_factory: pytest.TempPathFactory) -> list[Puzzle]:
    path = tmp_path_factory.mktemp("puzzles") / "hard.txt"
    path.write_text(f"{HARD}\n" * 3)
    return read_puzzles(path)


def test_the_last_moment_is_what_is_answered(grids: LM, puzzles: list[Puzzle]) -> None:
    how = How(pins=True, seed=3)
    filling = fill(grids, puzzles[0], how)
    ((text, steps),) = on_canvas(grids, puzzles[:1], how)
    assert [moment.step for moment in filling.moments] == list(range(1, steps + 1))
    last = filling.moments[-1]
    assert len(last.digits) == len(last.certainty) == 81
    assert [digit for digit in last.digits if digit] == [d for d in digits_of(text) if d]
    assert all(0 <= sure <= 1 for sure in last.certainty)


def test_pinned_clues_stand_unless_the_answer_ends_before_them(
    grids: LM, puzzles: list[Puzzle]
) -> None:
    for moment in fill(grids, puzzles[0], How(pins=True)).moments:
        pairs = zip(puzzles[0].cells, moment.digits, strict=True)
        assert all(digit in (clue, 0) for clue, digit in pairs if clue)


def test_left_to_right_there_is_nothing_to_watch(grids: LM, puzzles: list[Puzzle]) -> None:
    with pytest.raises(ParameterError, match="left to right there is no canvas"):
        fill(grids, puzzles[0], How(mode="ar"))


@pytest.mark.parametrize("how", [How(batch=2, pins=True, max_steps=2), How(mode="ar")])
def test_a_run_judges_as_solving_does(grids: LM, puzzles: list[Puzzle], how: How) -> None:
    asked = Grids(lm=grids, how=how, clock=lambda: 0.0)
    suite = suite_of(puzzles)
    whole = answer([suite], asked, asking_of(how))
    assert [solved_of(one) for one in whole] == solve_all(grids, puzzles, how, clock=lambda: 0.0)
    assert answer([suite], asked, asking_of(how), known=whole[:1]) == whole
