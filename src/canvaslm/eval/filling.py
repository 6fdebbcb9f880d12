"""A Sudoku while it is solved: what every cell holds after each pass, and how sure of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from canvaslm.engine.events import Draft
from canvaslm.errors import ParameterError
from canvaslm.eval.sudoku import How, answer_ids, cell_places, on_canvas
from canvaslm.tasks.sudoku_files import Puzzle

if TYPE_CHECKING:
    from canvaslm.engine.lm import LM


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A grid after `step` passes: each cell's likeliest digit, 0 where it is none, and how sure
    the model is of it, exp(-entropy), 1 at most."""

    step: int
    digits: Sequence[int]
    certainty: Sequence[float]

    def right(self, puzzle: Puzzle) -> int:
        """Blank cells that hold the solution's digit."""
        cells = zip(self.digits, puzzle.cells, puzzle.solution, strict=True)
        return sum(digit == wanted for digit, clue, wanted in cells if not clue)


@dataclass(frozen=True, kw_only=True)
class Filling:
    """A puzzle and its moments, in order."""

    puzzle: Puzzle
    moments: Sequence[Moment]

    @property
    def solved(self) -> bool:
        """Whether the last moment is the solution."""
        return tuple(self.moments[-1].digits) == tuple(self.puzzle.solution)


def fill(lm: LM, puzzle: Puzzle, how: How) -> Filling:
    """Solve a puzzle on its canvas and keep every pass. Raises ParameterError for mode ar, and for
    a tokenizer that joins digits."""
    if how.mode == "ar":
        raise ParameterError("left to right there is no canvas to look at: leave mode ar out")
    places = cell_places(lm.rewriter, answer_ids(lm.rewriter, puzzle, how))
    if places is None:
        raise ParameterError("this tokenizer joins digits, so cells cannot be told apart")
    drafts: list[Draft] = []
    on_canvas(lm, [puzzle], how, watch=drafts.append)
    return Filling(puzzle=puzzle, moments=[moment(lm, draft, places) for draft in drafts])


def moment(lm: LM, draft: Draft, places: Sequence[int]) -> Moment:
    """A draft cell by cell; cells behind its closing token hold nothing."""
    written = len(draft.token_ids)
    texts = [
        lm.tokenizer.decode([draft.token_ids[place]]).strip() if place < written else ""
        for place in places
    ]
    return Moment(
        step=draft.step,
        digits=[int(text) if len(text) == 1 and text in "123456789" else 0 for text in texts],
        certainty=[
            math.exp(-max(0.0, draft.entropy[place])) if place < written else 0.0
            for place in places
        ],
    )
