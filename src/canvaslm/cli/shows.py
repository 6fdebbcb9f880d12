"""What the demo shows: a Sudoku, a drawing and a function, each drawn from a canvas."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rich.console import RenderableType
from rich.padding import Padding
from rich.style import Style
from rich.table import Table
from rich.text import Text

from canvaslm import tasks
from canvaslm.cli import svg_view
from canvaslm.cli.canvas_view import SURE, Canvas, certainty_style, fit, paint
from canvaslm.errors import ParameterError
from canvaslm.tasks.code import FILL, GAP, Code
from canvaslm.tasks.sudoku import Sudoku

_GAP_ROWS = 4  # a missing piece has at most three lines
_CLUE = Style(bold=True)
_BROKEN = Style(bold=True, color="red", reverse=True)


class Show(Protocol):
    """One exhibit: a held-out case of a task, and how its canvas is drawn."""

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        ...

    @property
    def caption(self) -> str:
        """What is asked, as far as the picture does not show it."""
        ...

    @property
    def task(self) -> tasks.Task:
        """Its task, which can say whether an answer is right."""
        ...

    @property
    def example(self) -> tasks.Example:
        """The case."""
        ...

    def draw(self, canvas: Canvas, *, width: int, height: int) -> RenderableType:
        """The canvas as a picture of at most `width` columns and `height` rows."""
        ...


@dataclass(frozen=True, kw_only=True)
class SudokuShow:
    """A grid with its clues bold, beside the canvas it is read from."""

    task: Sudoku
    example: tasks.Example
    cells: Sequence[int]  # where on the canvas the 81 digits stand
    title: str = "A Sudoku"

    @property
    def caption(self) -> str:
        """How many clues there are."""
        clues = sum(digit > 0 for digit in self.task.puzzle(self.example))
        return f"{clues} clues, in bold; the other cells are drawn from the canvas beside them"

    def draw(self, canvas: Canvas, *, width: int, height: int) -> RenderableType:
        """Boxes of three by three; a certain digit in the place of a clue is shown in red."""
        clues = self.task.puzzle(self.example)
        styled = [
            _cell(canvas.pieces[place].strip(), canvas.entropies[place], clue)
            for place, clue in zip(self.cells, clues, strict=True)
        ]
        return _beside(_grid(styled), canvas, width=width - 25, height=13)


def _cell(piece: str, entropy: float, clue: int) -> tuple[str, Style]:
    digit = piece if len(piece) == 1 and piece in "123456789" else "·"
    if clue == 0:
        return digit, certainty_style(entropy)
    if digit != str(clue) and entropy < SURE:
        return digit, _BROKEN
    return str(clue), _CLUE


def _grid(cells: Sequence[tuple[str, Style]]) -> Text:
    rules = [left + mid.join(["─" * 7] * 3) + right for left, mid, right in ("╭┬╮", "├┼┤", "╰┴╯")]
    text = Text(no_wrap=True)
    for row in range(9):
        if row % 3 == 0:
            text.append(rules[0 if row == 0 else 1] + "\n", "dim")
        for column in range(9):
            text.append("│ " if column % 3 == 0 else "", "dim")
            text.append(*cells[9 * row + column]).append(" ")
        text.append("│\n", "dim")
    return text.append(rules[2], "dim")


@dataclass(frozen=True, kw_only=True)
class SceneShow:
    """The drawing that the source makes so far, beside that source."""

    task: tasks.Task
    example: tasks.Example
    title: str = "A drawing, as SVG"

    @property
    def caption(self) -> str:
        """The description."""
        return self.example.prompt

    def draw(self, canvas: Canvas, *, width: int, height: int) -> RenderableType:
        """The picture in half blocks; parts of the source that are still noise draw nothing."""
        size = 48 if height >= 24 and width >= 90 else 32
        picture = svg_view.draw("".join(canvas.pieces), size=size)
        return _beside(picture, canvas, width=width - size, height=size // 2)


@dataclass(frozen=True, kw_only=True)
class CodeShow:
    """A function whose missing lines condense in their place."""

    task: Code
    example: tasks.Example
    title: str = "A function with a gap"

    @property
    def caption(self) -> str:
        """That lines are missing."""
        return "The lines in colour are missing from the prompt"

    def draw(self, canvas: Canvas, *, width: int, height: int) -> RenderableType:
        """The given lines dim, the canvas in colour between them."""
        before, after = self.example.prompt.removeprefix(FILL).split(GAP)
        gap = paint(canvas.shown, canvas.entropies)
        gap.rstrip()
        text = Text(no_wrap=True).append(before, "dim")
        text.append_text(fit(gap, width=width, height=_GAP_ROWS))
        text.append(after, "dim")
        return fit(text, width=width, height=height)


def _beside(picture: Text, canvas: Canvas, *, width: int, height: int) -> RenderableType:
    running = fit(paint(canvas.shown, canvas.entropies), width=max(1, width - 3), height=height)
    columns = Table.grid()
    columns.add_row(picture, Padding(running, (0, 0, 0, 3)))
    return columns


def choose(seed: int, split: Callable[[str], Sequence[str]]) -> tuple[Show, ...]:
    """The exhibits of `seed`, held-out cases all; `split` cuts a text into its tokens' pieces.

    Raises ParameterError for a tokenizer that does not write each digit as one token.
    """
    # A pool of its own, small enough to be made while one waits.
    sudoku, scenes, code = Sudoku(test_pool=24), tasks.get("scenes"), Code()

    def case(task: tasks.Task, bin: str) -> tasks.Example:
        return task.sample(random.Random(f"demo {seed}"), split="test", bin=bin)

    puzzle = case(sudoku, "40+")
    cells = [place for place, piece in enumerate(split(puzzle.answer)) if piece.strip().isdigit()]
    if len(cells) != 81:
        raise ParameterError(
            f"the demo needs a tokenizer that makes every digit one token, and this one makes "
            f"{len(cells)} of 81 digits: use the embedded model"
        )
    return (
        SudokuShow(task=sudoku, example=puzzle, cells=cells),
        SceneShow(task=scenes, example=case(scenes, "3")),
        CodeShow(task=code, example=case(code, "textbook-fill")),
    )
