"""Sudokus of any file, solved on one canvas each: pinned clues or not, few steps or many."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import torch

from canvaslm.cache.pages import Pool
from canvaslm.engine.params import Params
from canvaslm.engine.rewriting.desk import Desk, Order, open_prompt
from canvaslm.engine.rewriting.page import Ending, Page, length_for
from canvaslm.engine.rewriting.write import Watch, write
from canvaslm.engine.settings import Settings
from canvaslm.errors import ParameterError
from canvaslm.eval.report import wilson
from canvaslm.model.network import Network
from canvaslm.model.transformer import Attend
from canvaslm.tasks.sudoku import PROMPT
from canvaslm.tasks.sudoku_files import Puzzle
from canvaslm.tasks.sudoku_protocol import (
    ALONE,
    OWN_BINS,
    OWNER_BINS,
    bin_of,
    digits_of,
    spaced,
)
from canvaslm.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from canvaslm.engine.lm import LM
    from canvaslm.engine.rewriting.lengths import LengthBias

Form = Literal["spaced", "rows"]
Mode = Literal["diffusion", "ar"]


@dataclass(frozen=True, kw_only=True)
class How:
    """How every puzzle is asked.

    form      the protocol's digits apart, or nine rows, which the embedded model knows
    max_steps None: what the checkpoint says
    pins      clues are pinned on the canvas, and not only in the prompt
    alone     they are pinned there, and the prompt does not show them
    sighted   passes see what the one before believed (self-conditioning)
    """

    mode: Mode = "diffusion"
    form: Form = "spaced"
    seed: int = 0
    max_steps: int | None = None
    pins: bool = False
    alone: bool = False
    sighted: bool = True
    batch: int = 16

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ParameterError(f"batch must be at least 1, got {self.batch}")
        if self.mode == "ar":
            none = {
                "max_steps": self.max_steps,
                "pins": self.pins,
                "alone": self.alone,
                "sighted": not self.sighted,
            }
            given = [name for name, value in none.items() if value not in (None, False)]
            if given:
                raise ParameterError(
                    f"{', '.join(given)} would have no effect with mode ar: leave it out"
                )
        if self.pins and self.alone:
            raise ParameterError("alone pins the clues: leave pins out")
        _ = self.params

    @property
    def params(self) -> Params:
        return Params(seed=self.seed, max_steps=self.max_steps)


@dataclass(frozen=True, kw_only=True)
class Solved:
    """One puzzle: whether all of it is right, cells right, clues kept, passes and seconds."""

    clues: int
    correct: bool
    cells: float
    kept: float
    steps: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Some puzzles together; `interval` is Wilson's at 95 %."""

    n: int
    score: float
    interval: tuple[float, float]
    cells: float
    kept: float
    steps: float
    seconds: float

    @classmethod
    def of(cls, found: Sequence[Solved]) -> Tally:
        n, right = len(found), sum(one.correct for one in found)
        return cls(
            n=n,
            score=right / n,
            interval=wilson(right, n),
            **{
                name: sum(getattr(one, name) for one in found) / n
                for name in ("cells", "kept", "steps", "seconds")
            },
        )


def tallies(found: Sequence[Solved]) -> dict[str, Tally]:
    """Our bins, the protocol's, and all of them; those without a puzzle are left out."""
    rows: dict[str, Tally] = {}
    for bins in (OWN_BINS, OWNER_BINS):
        for name in bins:
            mine = [one for one in found if bin_of(one.clues, bins) == name]
            if mine:
                rows[name] = Tally.of(mine)
    return rows | {"all": Tally.of(found)}


def solve_all(
    lm: LM,
    puzzles: Sequence[Puzzle],
    how: How,
    *,
    progress: Callable[[int, int], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Solved]:
    """Ask every puzzle; `progress` is told of puzzles done, and solved."""
    found: list[Solved] = []
    size = 1 if how.mode == "ar" else how.batch
    for start in range(0, len(puzzles), size):
        group, began = puzzles[start : start + size], clock()
        answers = (
            left_to_right(lm, group[0], how) if how.mode == "ar" else on_canvas(lm, group, how)
        )
        seconds = (clock() - began) / len(group)
        for puzzle, (text, steps) in zip(group, answers, strict=True):
            found.append(judge(puzzle, text, steps=steps, seconds=seconds))
        if progress is not None:
            progress(len(found), sum(one.correct for one in found))
    return found


def judge(puzzle: Puzzle, text: str, *, steps: int, seconds: float) -> Solved:
    """Exact match of the last 81 digits; with fewer no cell is right."""
    digits = digits_of(text)
    whole = len(digits) == 81
    right = [whole and a == b for a, b in zip(digits, puzzle.solution, strict=False)] or [False]
    kept = [ok for ok, clue in zip(right, puzzle.cells, strict=False) if clue]
    return Solved(
        clues=puzzle.clues,
        correct=whole and all(right),
        cells=sum(right) / 81,
        kept=sum(kept) / max(1, puzzle.clues),
        steps=steps,
        seconds=seconds,
    )


def prompt_of(puzzle: Puzzle, form: Form) -> str:
    return spaced(puzzle.cells) if form == "spaced" else PROMPT + rows(puzzle.cells)


def rows(cells: Sequence[int]) -> str:
    return "\n".join("".join(map(str, cells[at : at + 9])) for at in range(0, 81, 9))


def left_to_right(lm: LM, puzzle: Puzzle, how: How) -> list[tuple[str, int]]:
    """The same weights, token by token."""
    page = page_of(lm.rewriter, puzzle, how)
    params = replace(how.params, max_tokens=page.size + 1)
    result = lm.generate(prompt_of(puzzle, how.form), params=params, mode="ar")
    return [(result.text, result.usage.steps)]


def on_canvas(
    lm: LM, puzzles: Sequence[Puzzle], how: How, *, watch: Watch | None = None
) -> list[tuple[str, int]]:
    """Each on one canvas, as long as it must be, all of them together; `watch` sees every pass."""
    desk: Desk = lm.rewriter if how.sighted else Blind.of(lm.rewriter)
    order = Order.of(desk, how.params)
    with ExitStack() as stack:
        openings = []
        for puzzle in puzzles:
            prompt = ALONE if how.alone else prompt_of(puzzle, how.form)
            opening = open_prompt(desk, prompt)
            stack.callback(opening.prefix.free)
            openings.append(opening)
        pages = [page_of(desk, puzzle, how) for puzzle in puzzles]
        written = write(desk, openings, pages, order=order, watch=watch)
    return [(text_of(desk, one.ids), one.steps) for one in written]


def page_of(desk: Desk, puzzle: Puzzle, how: How) -> Page:
    """The canvas of an answer; with pins each clue stands where the answer has it."""
    ids = answer_ids(desk, puzzle, how)
    longest = desk.network.config.canvas_length
    if len(ids) >= longest:
        raise ParameterError(
            f"an answer takes {len(ids) + 1} tokens, and a canvas of this model holds {longest}: "
            "ask in another form (--form)"
        )
    return Page(
        size=len(ids),
        length=length_for(len(ids) + 1, longest=longest),
        after=None,
        ending=Ending.of(desk),
        given=clues_among(desk, puzzle, ids) if how.pins or how.alone else {},
    )


def answer_ids(desk: Desk, puzzle: Puzzle, how: How) -> list[int]:
    """The tokens of the right answer."""
    answer = spaced(puzzle.solution) if how.form == "spaced" else rows(puzzle.solution)
    return desk.tokenizer.encode(answer, special=False)


def clues_among(desk: Desk, puzzle: Puzzle, ids: Sequence[int]) -> dict[int, int]:
    """The tokens that are clues. Raises ParameterError where a token holds more than a digit."""
    places = cell_places(desk, ids)
    if places is None:
        raise ParameterError("this tokenizer joins digits, so clues cannot be pinned: leave it out")
    return {place: ids[place] for place, clue in zip(places, puzzle.cells, strict=True) if clue}


def cell_places(desk: Desk, ids: Sequence[int]) -> list[int] | None:
    """Where in an answer the 81 cells stand; None where a token holds more than a digit."""
    texts = [desk.tokenizer.decode([id]).strip() for id in ids]
    places = [place for place, text in enumerate(texts) if text.isdigit()]
    whole = len(places) == 81 and all(len(texts[place]) == 1 for place in places)
    return places if whole else None


def text_of(desk: Desk, ids: Sequence[int]) -> str:
    ends = desk.settings.eos_ids
    end = next((place for place, id in enumerate(ids) if id in ends), len(ids))
    return desk.tokenizer.decode(list(ids[:end]))


@dataclass(frozen=True, kw_only=True, eq=False)
class Blind:
    """A desk whose passes see nothing of what the one before believed."""

    network: Network
    pool: Pool
    settings: Settings
    tokenizer: Tokenizer
    length_bias: LengthBias = field(repr=False)
    clock: Callable[[], float]

    @classmethod
    def of(cls, desk: Desk) -> Blind:
        blind: Any = Unsighted(desk.network)
        return cls(
            network=blind,
            pool=desk.pool,
            settings=desk.settings,
            tokenizer=desk.tokenizer,
            length_bias=None,  # type: ignore[arg-type]  # only gaps need it
            clock=desk.clock,
        )


class Unsighted:
    """A network without self-conditioning."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def denoise(
        self,
        ids_BL: torch.Tensor,
        soft_BLD: torch.Tensor | None,
        positions_BL: torch.Tensor,
        attend: Attend,
    ) -> torch.Tensor:
        del soft_BLD
        return self._network.denoise(ids_BL, None, positions_BL, attend)


def as_json(rows: Mapping[str, Tally]) -> dict[str, dict[str, Any]]:
    """JSON values."""
    return {name: dict(vars(row)) for name, row in rows.items()}
