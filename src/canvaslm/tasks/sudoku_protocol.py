"""The owner's Sudoku protocol: 81 digits apart, 0 for a blank; the last 81 must match."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from canvaslm.tasks.sudoku import CLUES, Sudoku
from canvaslm.tasks.task import Example, Score, Split, check_request

OWNER_BINS: Mapping[str, tuple[int, int]] = {
    "easy": (40, 81),
    "medium": (30, 39),
    "hard": (0, 29),
}
"""The protocol's bins: fewest and most clues."""

OWN_BINS: Mapping[str, tuple[int, int]] = {
    ">=36": (36, 81),
    "30-35": (30, 35),
    "24-29": (24, 29),
    "<24": (0, 23),
}
"""Bins that tell hard puzzles apart."""


ALONE = "Sudoku"
"""The prompt of a puzzle that stands on the canvas and nowhere else."""


def bin_of(clues: int, bins: Mapping[str, tuple[int, int]] = OWN_BINS) -> str:
    """The bin that a puzzle with so many clues lies in."""
    return next(name for name, (fewest, most) in bins.items() if fewest <= clues <= most)


def spaced(cells: Sequence[int]) -> str:
    """Cells as the protocol writes them."""
    return " ".join(map(str, cells))


def digits_of(text: str) -> tuple[int, ...]:
    """The last 81 digits of a text, or as many as there are."""
    return tuple(map(int, re.findall("[0-9]", text)))[-81:]


@dataclass(frozen=True, kw_only=True)
class ProtocolSudoku:
    """The puzzles of `Sudoku`, asked and answered in the protocol's form."""

    puzzles: Sudoku = field(default_factory=Sudoku)
    name: ClassVar[str] = "sudoku-protocol"
    bins: ClassVar[tuple[str, ...]] = tuple(CLUES)

    def sample(self, rng: random.Random, *, split: Split, bin: str | None = None) -> Example:
        """A puzzle of `bin`; TaskError: no such split or bin."""
        check_request(self, split=split, bin=bin)
        drawn = self.puzzles.sample(rng, split=split, bin=bin)
        return Example(
            task=self.name,
            prompt=spaced(self.puzzles.puzzle(drawn)),
            answer=spaced(digits_of(drawn.answer)),
            bin=drawn.bin,
            canonical=drawn.canonical,
        )

    def score(self, example: Example, text: str) -> Score:
        """Exact match of the last 81 digits; details `cells` and `clues` (those that are kept)."""
        return self.puzzles.score(example, text)
