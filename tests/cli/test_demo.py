"""The demo, and what it shows."""

import io
import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from tests.cli.conftest import Run

import canvaslm
from canvaslm.cli.canvas_view import Canvas
from canvaslm.cli.shows import Show, SudokuShow, choose
from canvaslm.cli.watch import look, watch
from canvaslm.engine.events import Done, Draft, Event, Text
from canvaslm.engine.result import Result, Usage
from canvaslm.errors import ParameterError
from canvaslm.text.spans import Answer


def letters(text: str) -> list[str]:
    return list(text)


def certain(text: str, *, entropy: float = 0.0) -> Canvas:
    return Canvas(pieces=letters(text), shown=letters(text), entropies=[entropy] * len(text))


def plain(show: Show, canvas: Canvas, *, width: int = 100, height: int = 30) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(show.draw(canvas, width=width, height=height))
    return console.export_text()


@pytest.fixture(scope="module")
def shows() -> tuple[Show, ...]:
    return choose(1, letters)


def test_the_cases_are_a_matter_of_the_seed(shows: tuple[Show, ...]) -> None:
    again, other = choose(1, letters), choose(2, letters)
    assert [show.example for show in again] == [show.example for show in shows]
    assert [show.example for show in other] != [show.example for show in shows]


def test_a_right_answer_is_seen_to_be_right(shows: tuple[Show, ...]) -> None:
    for show in shows:
        assert show.task.score(show.example, show.example.answer).correct
        seen = plain(show, certain(show.example.answer), width=120)
        assert show.example.answer.split("\n")[0].strip() in seen


def test_the_grid_shows_every_digit_in_its_cell(shows: tuple[Show, ...]) -> None:
    show = shows[0]
    seen = plain(show, certain(show.example.answer)).split("\n")
    rows = [line[:25] for line in seen if line.startswith("│")]
    digits = ["".join(filter(str.isdigit, row)) for row in rows]
    assert digits == show.example.answer.split("\n")


def test_a_clue_stands_until_the_model_is_certain_of_something_else(
    shows: tuple[Show, ...],
) -> None:
    show = shows[0]
    assert isinstance(show, SudokuShow)
    puzzle = show.task.puzzle(show.example)
    place = next(n for n, digit in enumerate(puzzle) if digit)
    wrong = list(show.example.answer)
    wrong[show.cells[place]] = "1" if puzzle[place] != 1 else "2"

    def first_clue(entropy: float) -> str:
        rows = plain(show, certain("".join(wrong), entropy=entropy)).split("\n")
        grid = [line[:25] for line in rows if line.startswith("│")]
        return "".join(filter(lambda c: c.isdigit() or c == "·", grid[place // 9]))[place % 9]

    assert first_clue(3.0) == str(puzzle[place])
    assert first_clue(0.0) == wrong[show.cells[place]]


@pytest.mark.parametrize(("width", "height"), [(60, 16), (80, 16), (120, 42)])
def test_noise_of_any_shape_stays_in_its_box(
    shows: tuple[Show, ...], width: int, height: int
) -> None:
    noise = certain("word\n\n\t" * 60 + "x" * 500, entropy=5.0)
    for show in shows:
        rows = plain(show, noise, width=width, height=height).rstrip("\n").split("\n")
        assert len(rows) <= height
        assert all(len(row) <= width for row in rows)


@pytest.mark.parametrize("width", [20, 28, 35])
def test_a_narrow_terminal_is_no_failure(shows: tuple[Show, ...], width: int) -> None:
    for show in shows:
        show.draw(certain(show.example.answer), width=width, height=10)


def test_a_tokenizer_of_whole_numbers_is_refused() -> None:
    with pytest.raises(ParameterError, match="digit"):
        choose(1, lambda text: text.split())


def result(text: str) -> Result:
    usage = Usage(prompt_tokens=1, completion_tokens=1, canvases=1, steps=1, seconds=0.5)
    return Result(token_ids=(1,), finish_reason="stop", usage=usage, seed=3, spans=[Answer(text)])


def draft(step: int) -> Draft:
    ids = (10, 11)
    return Draft(
        canvas=0,
        step=step,
        token_ids=ids,
        entropy=(0.0, 5.0),
        accepted=(True, False),
        noisy_ids=ids,
    )


def test_watching_draws_each_draft_and_returns_the_answer() -> None:
    answer = result("ab")
    events: list[Event] = [draft(1), Text(delta="a"), draft(2), Done(result=answer)]
    drawn: list[tuple[str, int]] = []

    def draw(said: str, seen: Draft) -> str:
        drawn.append((said, seen.step))
        return said

    console = Console(file=io.StringIO(), force_terminal=True)
    assert watch(iter(events), draw, console=console) is answer
    assert drawn == [("", 1), ("a", 2)]


def test_the_picture_that_stays_has_no_noise() -> None:
    first = replace(draft(1), noisy_ids=(7, 8))
    events: list[Event] = [first, Done(result=result("ab"))]
    drawn: list[Sequence[int]] = []

    def draw(said: str, seen: Draft) -> str:
        drawn.append(seen.noisy_ids)
        return said

    watch(iter(events), draw, console=Console(file=io.StringIO(), force_terminal=True), keep=True)
    assert drawn == [(7, 8), (10, 11)]


def test_a_doubtful_position_shows_the_noise_that_stands_there(checkpoint: Path) -> None:
    lm = canvaslm.load(checkpoint)
    a, b = lm.tokenizer.encode("a")[0], lm.tokenizer.encode("b")[0]
    seen = look(
        lm,
        Draft(
            canvas=0,
            step=1,
            token_ids=(a, a),
            entropy=(0.0, 5.0),
            accepted=(True, False),
            noisy_ids=(b, b),
        ),
    )
    assert (list(seen.pieces), list(seen.shown)) == (["a", "a"], ["a", "b"])


def test_into_a_pipe_goes_plain_text_with_results_only(run: Run, checkpoint: Path) -> None:
    done = run("demo", "--model", checkpoint, "--seed", 3)
    assert done.code == 0
    assert "\x1b" not in done.out
    for line in ("A Sudoku", "A drawing, as SVG", "A function with a gap"):
        assert f"\n{line}\n" in done.out
    speeds = [line for line in done.out.split("\n") if "tokens/forward" in line]
    ways = itertools.cycle(["diffusion", "left to right"])
    assert len(speeds) == 6
    assert all(line.startswith(way) for line, way in zip(speeds, ways, strict=False))
