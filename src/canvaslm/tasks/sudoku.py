"""Sudoku with unique solutions, from 50 clues down to minimal puzzles."""

import random
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from canvaslm.errors import TaskError
from canvaslm.tasks.disk_pool import remembered
from canvaslm.tasks.sudoku_grid import Grid, canonical, dig, random_solution, random_symmetry
from canvaslm.tasks.task import Example, Score, Split, check_request, split_of

PROMPT = "Solve this Sudoku:\n"

CLUES: dict[str, tuple[int, int]] = {
    "40+": (40, 50),
    "36-39": (36, 39),
    "30-35": (30, 35),
    "24-29": (24, 29),
    "<24": (17, 23),
}
"""Bin -> fewest and most clues; a puzzle's number is drawn uniformly between."""


@dataclass(frozen=True, kw_only=True)
class Base:
    """A minimal puzzle of the pool; every example is one of these with clues added, in disguise."""

    solution: Grid
    clues: tuple[int, ...]  # the cells that must stay
    blanks: tuple[int, ...]  # the other cells
    canonical: str


@dataclass(frozen=True, kw_only=True)
class Sudoku:
    """The task. `train_pool` and `test_pool` are the numbers of base puzzles of the splits."""

    train_pool: int = 2000
    test_pool: int = 300
    name: ClassVar[str] = "sudoku"
    bins: ClassVar[tuple[str, ...]] = tuple(CLUES)

    def __post_init__(self) -> None:
        if min(self.train_pool, self.test_pool) < 1:
            raise TaskError(
                f"train_pool={self.train_pool}, test_pool={self.test_pool}: a split needs at "
                "least one base puzzle"
            )

    def sample(self, rng: random.Random, *, split: Split, bin: str | None = None) -> Example:
        """A puzzle of `bin`, in a random one of its symmetric forms."""
        check_request(self, split=split, bin=bin)
        chosen = rng.choice(self.bins) if bin is None else bin
        fewest, most = CLUES[chosen]
        bases = _pool(split, self.train_pool if split == "train" else self.test_pool)
        base = rng.choice(bases)
        while len(base.clues) > most:
            base = rng.choice(bases)
        target = rng.randint(max(fewest, len(base.clues)), most)
        shown = {*base.clues, *rng.sample(base.blanks, target - len(base.clues))}
        source, digits = random_symmetry(rng)
        puzzle = [digits[base.solution[cell]] if cell in shown else 0 for cell in source]
        solution = [digits[base.solution[cell]] for cell in source]
        return Example(
            task=self.name,
            prompt=PROMPT + _rows(puzzle),
            answer=_rows(solution),
            bin=chosen,
            canonical=base.canonical,
        )

    def puzzle(self, example: Example) -> Grid:
        """The 81 cells that the prompt shows, 0 for a blank."""
        return _digits(example.prompt)[-81:]

    def score(self, example: Example, text: str) -> Score:
        """Correct when the last 81 digits of `text` are the solution, which is unique."""
        solution, puzzle = _digits(example.answer), self.puzzle(example)
        found = _digits(text)[-81:]
        if len(found) < 81:
            return Score(correct=False, details={"cells": 0.0, "clues": 0.0})
        right = [a == b for a, b in zip(found, solution, strict=True)]
        kept = [ok for ok, clue in zip(right, puzzle, strict=True) if clue]
        details = {"cells": sum(right) / 81, "clues": sum(kept) / max(1, len(kept))}
        return Score(correct=all(right), details=details)


def _rows(cells: list[int]) -> str:
    text = "".join(map(str, cells))
    return "\n".join(text[start : start + 9] for start in range(0, 81, 9))


def _digits(text: str) -> Grid:
    return tuple(int(digit) for digit in re.findall("[0-9]", text))


@lru_cache(maxsize=8)
def _pool(split: Split, size: int) -> tuple[Base, ...]:
    lines = remembered(f"sudoku-{split}-{size}-v1", lambda: _build(split, size))
    return tuple(_base(line) for line in lines)


def _build(split: Split, size: int) -> list[str]:
    """`size` minimal puzzles of different grids, each as "puzzle solution canonical"."""
    rng = random.Random(f"sudoku {split}")
    lines: list[str] = []
    seen: set[str] = set()
    while len(lines) < size:
        solution = random_solution(rng)
        key = canonical(solution)
        if key in seen or split_of(key) != split:
            continue
        # Every fourth is dug until it is sparse, so that the bin below 24 clues is varied too.
        puzzle = dig(solution, rng)
        while len(lines) % 4 == 0 and 81 - puzzle.count(0) > CLUES["<24"][1]:
            puzzle = dig(solution, rng)
        seen.add(key)
        lines.append(" ".join(("".join(map(str, puzzle)), "".join(map(str, solution)), key)))
    return lines


def _base(line: str) -> Base:
    puzzle, solution, key = line.split(" ")
    return Base(
        solution=tuple(map(int, solution)),
        clues=tuple(cell for cell, digit in enumerate(puzzle) if digit != "0"),
        blanks=tuple(cell for cell, digit in enumerate(puzzle) if digit == "0"),
        canonical=key,
    )
