"""Minimal puzzles with few clues, by a local search that digs again and again."""

from __future__ import annotations

import random

from canvaslm.tasks.sudoku_grid import Grid, count_solutions, dig


def thin(solution: Grid, rng: random.Random, *, rounds: int, swap: int = 2) -> Grid:
    """A minimal puzzle of `solution` with fewer clues than one dig finds, as a rule.

    In each of `rounds` a few blanks (up to `swap`) are filled in, what has become superfluous is
    taken out in random order, and the puzzle is kept unless it has more clues than before.
    """
    best = dig(solution, rng)
    for _ in range(rounds):
        tried = prune(_fill(best, solution, rng.randint(1, swap), rng), rng)
        if tried.count(0) >= best.count(0):
            best = tried
    return best


def _fill(puzzle: Grid, solution: Grid, count: int, rng: random.Random) -> Grid:
    blanks = [cell for cell, digit in enumerate(puzzle) if not digit]
    added = set(rng.sample(blanks, count))
    return tuple(solution[c] if c in added else digit for c, digit in enumerate(puzzle))


def prune(puzzle: Grid, rng: random.Random) -> Grid:
    """The puzzle without superfluous clues: unique, and minimal."""
    cells = list(puzzle)
    for cell in rng.sample([c for c, digit in enumerate(puzzle) if digit], 81 - puzzle.count(0)):
        digit, cells[cell] = cells[cell], 0
        if count_solutions(cells) > 1:
            cells[cell] = digit
    return tuple(cells)
