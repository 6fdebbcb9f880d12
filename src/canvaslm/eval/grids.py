"""Sudokus as cases of a run: asked in one of the ways of `How`, kept, and gone on with."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from canvaslm.eval.asking import Asking
from canvaslm.eval.sudoku import How, Solved, left_to_right, on_canvas
from canvaslm.eval.trials.local import Answered, groups
from canvaslm.eval.trials.record import Item, Record, Reply
from canvaslm.eval.trials.suite import Belongs, Suite
from canvaslm.tasks import Example
from canvaslm.tasks.sudoku_files import Puzzle
from canvaslm.tasks.sudoku_protocol import OWN_BINS, OWNER_BINS, ProtocolSudoku, digits_of

if TYPE_CHECKING:
    from canvaslm.engine.lm import LM


def suite_of(puzzles: Sequence[Puzzle]) -> Suite:
    """The puzzles as cases, each in its bin of clues."""
    return Suite(
        name=ProtocolSudoku.name,
        examples=[replace(puzzle.example(), canonical="") for puzzle in puzzles],
        score=ProtocolSudoku().score,
        bins={name: within(*clues) for name, clues in {**OWN_BINS, **OWNER_BINS}.items()},
    )


def within(fewest: int, most: int) -> Belongs:
    """Whether a record's puzzle has so many clues."""
    return lambda record: fewest <= solved_of(record).clues <= most


def asking_of(how: How) -> Asking:
    """The same in the words of a run."""
    return Asking(mode=how.mode, seed=how.seed, batch=how.batch, max_steps=how.max_steps)


@dataclass(frozen=True, kw_only=True)
class Grids:
    """A model that is asked puzzles as `how` says."""

    lm: LM
    how: How
    clock: Callable[[], float] = time.perf_counter

    def answer(
        self, items: Sequence[Item], asking: Asking, done: Collection[tuple[str, int]] = ()
    ) -> Iterator[Answered]:
        """A batch at a time; one of which not all are done is asked whole."""
        del asking  # it says no more than `how`
        for group in groups(items, 1 if self.how.mode == "ar" else self.how.batch):
            if any(item.key not in done for item in group):
                yield self._group(group)

    def _group(self, group: Sequence[Item]) -> Answered:
        puzzles, begun = [puzzle_of(item.example) for item in group], self.clock()
        if self.how.mode == "ar":
            answers = left_to_right(self.lm, puzzles[0], self.how)
        else:
            answers = on_canvas(self.lm, puzzles, self.how)
        spent = (self.clock() - begun) / len(group)
        return [
            (item, self._reply(text, steps, spent))
            for item, (text, steps) in zip(group, answers, strict=True)
        ]

    def _reply(self, text: str, steps: int, spent: float) -> Reply:
        """What came; `seconds` are a puzzle's share of its batch, as no other time is its own."""
        return Reply(
            text=text,
            tokens=len(self.lm.tokenizer.encode(text, special=False)) + 1,
            steps=steps,
            canvases=0 if self.how.mode == "ar" else 1,
            seconds=spent,
            spent=spent,
        )


def puzzle_of(example: Example) -> Puzzle:
    """The puzzle that a case asks."""
    return Puzzle(cells=digits_of(example.prompt), solution=digits_of(example.answer), line=0)


def solved_of(record: Record) -> Solved:
    """What a record says of its puzzle."""
    return Solved(
        clues=81 - digits_of(record.prompt).count(0),
        correct=record.correct,
        cells=record.details["cells"],
        kept=record.details["clues"],
        steps=record.steps or 0,
        seconds=record.seconds,
    )
