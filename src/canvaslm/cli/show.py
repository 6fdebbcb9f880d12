"""`canvaslm show`: what a model does, as a picture to keep."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from canvaslm.cli import options, output
from canvaslm.cli.groups import grouped
from canvaslm.errors import ParameterError, StorageError

if TYPE_CHECKING:
    from canvaslm.eval.filling import Filling
    from canvaslm.tasks.sudoku_files import Puzzle

app = typer.Typer(help="Draw what a model does, pass by pass.", no_args_is_help=True)

BIN = "36-39"

Picture = Annotated[
    Path | None,
    typer.Option(help="An SVG in which one grid fills in, again and again.", show_default=False),
]
Still = Annotated[
    Path | None, typer.Option(help="An SVG of up to eight passes side by side.", show_default=False)
]


@app.command("sudoku")
@grouped
def sudoku(
    *,
    picture: Picture = None,
    still: Still = None,
    file: Annotated[
        Path | None,
        typer.Option(help="Puzzles of your own; see `eval sudoku`.", show_default=False),
    ] = None,
    number: Annotated[
        int | None, typer.Option(help="Which puzzle of FILE, from 1.", show_default="1")
    ] = None,
    bin: Annotated[
        str | None,
        typer.Option(help="Without FILE: 40+, 36-39, 30-35, 24-29 or <24 clues.", show_default=BIN),
    ] = None,
    form: Annotated[
        Literal["spaced", "rows"] | None,
        typer.Option(
            help="81 digits apart, or nine rows.",
            show_default="rows for the embedded model, else spaced",
        ),
    ] = None,
    pins: Annotated[bool, typer.Option("--pins", help="Pin the clues on the canvas, too.")] = False,
    alone: Annotated[
        bool, typer.Option("--alone", help="Clues on the canvas, and not in the prompt.")
    ] = False,
    max_steps: Annotated[
        int | None, typer.Option(help="Most passes.", show_default="as the checkpoint says")
    ] = None,
    seed: Annotated[int, typer.Option(help="Chooses the puzzle, and is that of the answer.")] = 1,
    source: options.Source,
    as_json: options.Json = False,
) -> None:
    """A Sudoku while it fills in: every pass, what is right, and how sure the model is."""
    from canvaslm.eval.filling import fill
    from canvaslm.eval.pages.filling import moving
    from canvaslm.eval.pages.filling import still as side_by_side
    from canvaslm.eval.sudoku import How

    for path in (picture, still):
        if path is not None and path.suffix != ".svg":
            raise ParameterError(f"the picture is an SVG: name it .svg, got {path.name!r}")
    puzzle = asked(file, number, bin, seed)
    how = How(
        form=form or ("rows" if source.model is None else "spaced"),
        seed=seed,
        pins=pins,
        alone=alone,
        max_steps=max_steps,
    )
    filling = fill(source.load(), puzzle, how)
    if picture is not None:
        save(picture, moving(filling))
    if still is not None:
        save(still, side_by_side(filling))
    if as_json:
        output.write_json({"puzzle": vars(puzzle), "moments": [*map(vars, filling.moments)]})
    else:
        tell(filling)


def asked(file: Path | None, number: int | None, bin: str | None, seed: int) -> Puzzle:
    """The puzzle that the options name. Raises TaskError, ParameterError."""
    if file is None and number is not None:
        raise ParameterError(f"--number {number} would have no effect without --file: add it")
    if file is not None and bin is not None:
        raise ParameterError(f"--bin {bin} would have no effect with --file: use --number")
    if file is None:
        return held_out(BIN if bin is None else bin, seed)
    return chosen(file, 1 if number is None else number)


def chosen(file: Path, number: int) -> Puzzle:
    """A puzzle of a file. Raises TaskError, ParameterError."""
    from canvaslm.tasks.sudoku_files import read_puzzles

    if number < 1:
        raise ParameterError(f"puzzles are counted from 1, got --number {number}")
    found = read_puzzles(file, most=number)
    if len(found) < number:
        raise ParameterError(
            f"{file} has {len(found)} puzzles, and no number {number}: choose one of those"
        )
    return found[-1]


def held_out(bin: str, seed: int) -> Puzzle:
    """A puzzle that no run has learnt from. Raises TaskError for no such bin."""
    import random

    from canvaslm.tasks.sudoku import Sudoku
    from canvaslm.tasks.sudoku_files import Puzzle
    from canvaslm.tasks.sudoku_protocol import digits_of

    task = Sudoku(test_pool=24)
    example = task.sample(random.Random(f"show {bin} {seed}"), split="test", bin=bin)
    return Puzzle(cells=task.puzzle(example), solution=digits_of(example.answer), line=1)


def save(path: Path, picture: str) -> None:
    try:
        path.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from None


def tell(filling: Filling) -> None:
    """A line for each pass, and the grid at the end."""
    console, puzzle = output.console(), filling.puzzle
    for moment in filling.moments:
        right, blanks = moment.right(puzzle), 81 - puzzle.clues
        console.print(f"pass {moment.step:2}: {right} of {blanks} cells right", markup=False)
    digits = "".join(str(digit or "·") for digit in filling.moments[-1].digits)
    for row in range(9):
        console.print(" ".join(digits[9 * row : 9 * row + 9]), markup=False)
    console.print("solved" if filling.solved else "not solved", markup=False)
