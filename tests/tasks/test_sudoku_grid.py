"""Grids are solved, counted, dug and disguised as plain search would have it."""

import random
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canvaslm.errors import TaskError
from canvaslm.tasks.sudoku_grid import (
    canonical,
    count_solutions,
    dig,
    random_solution,
    random_symmetry,
    solve,
)

DIGITS = set(range(1, 10))

seeds = st.integers(0, 2**32).map(random.Random)


def units() -> Iterator[list[int]]:
    for i in range(9):
        yield [9 * i + j for j in range(9)]
        yield [9 * j + i for j in range(9)]
        corner = 27 * (i // 3) + 3 * (i % 3)
        yield [corner + 9 * row + column for row in range(3) for column in range(3)]


def is_valid(grid: Sequence[int]) -> bool:
    return all({grid[cell] for cell in unit} == DIGITS for unit in units())


def disguise(grid: Sequence[int], rng: random.Random) -> tuple[int, ...]:
    source, digits = random_symmetry(rng)
    return tuple(digits[grid[cell]] for cell in source)


def count_plainly(cells: tuple[int, ...], limit: int) -> int:
    """The definition: try every digit in the first blank."""
    if 0 not in cells:
        return int(is_valid(cells))
    cell = cells.index(0)
    taken = {cells[other] for unit in units() if cell in unit for other in unit}
    count = 0
    for digit in DIGITS - taken:
        count += count_plainly((*cells[:cell], digit, *cells[cell + 1 :]), limit - count)
        if count >= limit:
            break
    return count


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_random_solutions_are_valid(rng: random.Random) -> None:
    assert is_valid(random_solution(rng))


@given(seeds)
@settings(max_examples=10, deadline=None)
def test_dug_puzzles_are_unique_and_minimal(rng: random.Random) -> None:
    solution = random_solution(rng)
    puzzle = dig(solution, rng)
    assert solve(puzzle) == solution
    assert count_solutions(puzzle) == 1
    for cell, digit in enumerate(puzzle):
        assert digit in (0, solution[cell])
        if digit:
            assert count_solutions((*puzzle[:cell], 0, *puzzle[cell + 1 :])) == 2


@given(seeds, st.integers(24, 40))
@settings(max_examples=20, deadline=None)
def test_solutions_are_counted_as_plain_search_counts_them(rng: random.Random, blanks: int) -> None:
    cells = list(random_solution(rng))
    for cell in rng.sample(range(81), blanks):
        cells[cell] = 0
    assert count_solutions(cells, 5) == count_plainly(tuple(cells), 5)


@given(seeds)
@settings(max_examples=40, deadline=None)
def test_symmetries_keep_validity_and_the_canonical_text(rng: random.Random) -> None:
    solution = random_solution(rng)
    other = disguise(solution, rng)
    assert is_valid(other)
    assert canonical(other) == canonical(solution)


def test_transposition_keeps_the_canonical_text(rng: random.Random) -> None:
    solution = random_solution(rng)
    transposed = [solution[9 * column + row] for row in range(9) for column in range(9)]
    assert canonical(transposed) == canonical(solution)


def test_different_grids_mostly_have_different_canonical_texts(rng: random.Random) -> None:
    assert len({canonical(random_solution(rng)) for _ in range(200)}) > 190


def test_symmetries_are_many(rng: random.Random) -> None:
    solution = random_solution(rng)
    assert len({disguise(solution, rng) for _ in range(200)}) == 200


def test_an_empty_grid_has_solutions_up_to_the_limit() -> None:
    assert count_solutions([0] * 81, 7) == 7
    assert is_valid(solve([0] * 81))


@pytest.mark.parametrize("other", [1, 9, 10])
def test_clues_that_clash_have_no_solution(other: int) -> None:
    cells = [0] * 81
    cells[0] = cells[other] = 5
    assert solve(cells) is None
    assert count_solutions(cells) == 0


@pytest.mark.parametrize("cells", [[], [0] * 80, [0] * 82, [10] + [0] * 80, [-1] + [0] * 80])
def test_what_is_not_a_grid_is_refused(cells: Sequence[int]) -> None:
    with pytest.raises(TaskError, match="a Sudoku has 81, each 0 to 9"):
        solve(cells)
