"""Sudoku grids as bit sets: solve, count solutions, dig to a minimal puzzle, symmetries."""

# A grid is 81 digits, row by row, 0 for a blank. While solving, the whole state is one integer
# of 729 bits: bit 81 * (digit - 1) + cell is set while that digit may still stand in that cell.
# Every rule is then a handful of shifts over all of the grid at once.

import random
from collections import Counter
from collections.abc import Iterator, Sequence

from canvaslm.errors import TaskError

Grid = tuple[int, ...]

_ALL = (1 << 729) - 1


def _spread(steps: Sequence[int]) -> int:
    return sum(1 << step for step in steps)


def _origins(cells: Sequence[int]) -> int:
    return sum(_spread(cells) << (81 * digit) for digit in range(9))


_ROW_STARTS = _origins(range(0, 81, 9))
_COLUMN_STARTS = _origins(range(9))
_BOX_STARTS = _origins([27 * band + 3 * stack for band in range(3) for stack in range(3)])
_CELL_STARTS = (1 << 81) - 1
_ROW_SPREAD = _spread(range(9))
_COLUMN_SPREAD = _spread(range(0, 81, 9))
_BOX_SPREAD = _spread([9 * row + column for row in range(3) for column in range(3)])
_CELL_SPREAD = _spread(range(0, 729, 81))


def _peers(cell: int) -> int:
    """The 20 cells that share a row, column or box with `cell`, as a set of 81 bits."""
    row, column = divmod(cell, 9)
    corner = 27 * (row // 3) + 3 * (column // 3)
    units = _ROW_SPREAD << 9 * row | _COLUMN_SPREAD << column | _BOX_SPREAD << corner
    return units & ~(1 << cell)


def _kept_after(digit: int, cell: int) -> int:
    """What stays possible once `digit` stands in `cell` (that candidate included)."""
    bit = 1 << (81 * digit + cell)
    gone = (_CELL_SPREAD << cell) | (_peers(cell) << 81 * digit)
    return _ALL ^ gone | bit


_KEPT = [_kept_after(digit, cell) for digit in range(9) for cell in range(81)]


def _seen(a: int, b: int, c: int) -> tuple[int, int]:
    """Bits set in at least one, and in at least two, of three sets."""
    either = a | b
    return either | c, (a & b) | (c & either)


def _seen_again(once: int, twice: int, step: int) -> tuple[int, int]:
    """The same over three neighbours `step` apart, each already a count of three."""
    b, c = once >> step, once >> (2 * step)
    some, more = _seen(once, b, c)
    return some, more | twice | (twice >> step) | (twice >> (2 * step))


def _singles(state: int) -> int | None:
    """Candidates that are the last of their cell, row, column or box; None: some unit has none."""
    once, twice = _seen(state, state >> 1, state >> 2)
    row_once, row_twice = _seen_again(once, twice, 3)
    box_once, box_twice = _seen_again(once, twice, 9)
    once, twice = _seen(state, state >> 9, state >> 18)
    column_once, column_twice = _seen_again(once, twice, 27)
    once, twice = _seen(state, state >> 81, state >> 162)
    cell_once, cell_twice = _seen_again(once, twice, 243)
    if (
        row_once & _ROW_STARTS != _ROW_STARTS
        or cell_once & _CELL_STARTS != _CELL_STARTS
        or column_once & _COLUMN_STARTS != _COLUMN_STARTS
        or box_once & _BOX_STARTS != _BOX_STARTS
    ):
        return None
    return state & (
        (_ROW_STARTS & ~row_twice) * _ROW_SPREAD
        | (_COLUMN_STARTS & ~column_twice) * _COLUMN_SPREAD
        | (_BOX_STARTS & ~box_twice) * _BOX_SPREAD
        | (_CELL_STARTS & ~cell_twice) * _CELL_SPREAD
    )


def _settle(state: int, known: int) -> tuple[int, int] | None:
    """Follow singles until none is new; the state and what is known, or None: contradiction."""
    while True:
        singles = _singles(state)
        if singles is None:
            return None
        new = singles & ~known
        if not new:
            return state, known
        known |= new
        while new:
            low = new & -new
            state &= _KEPT[low.bit_length() - 1]
            new ^= low


def _choices(state: int, known: int) -> list[int]:
    """The candidates (as bit sets) of an open cell with the fewest."""
    best, fewest = 0, 10
    open_cells = _CELL_STARTS & ~_occupied(known)
    while open_cells:
        low = open_cells & -open_cells
        here = state & (low * _CELL_SPREAD)
        count = here.bit_count()
        if count < fewest:
            best, fewest = here, count
            if count == 2:
                break
        open_cells ^= low
    return list(_bits(best))


def _occupied(known: int) -> int:
    once, _ = _seen(known, known >> 81, known >> 162)
    return (once | once >> 243 | once >> 486) & _CELL_STARTS


def _bits(state: int) -> Iterator[int]:
    while state:
        low = state & -state
        yield low
        state ^= low


def _search(state: int, rng: random.Random | None = None) -> Iterator[int]:
    """Every solution within `state`, each as 81 set bits; `rng` shuffles the order."""
    stack = [(state, 0)]
    while stack:
        settled = _settle(*stack.pop())
        if settled is None:
            continue
        state, known = settled
        if known.bit_count() == 81:
            yield known
            continue
        choices = _choices(state, known)
        if rng is not None:
            rng.shuffle(choices)
        stack.extend((state & _KEPT[bit.bit_length() - 1], known) for bit in choices)


def _state_of(cells: Sequence[int]) -> int:
    if len(cells) != 81 or not all(0 <= digit <= 9 for digit in cells):
        raise TaskError(f"{len(cells)} cells {cells!r}: a Sudoku has 81, each 0 to 9")
    state = _ALL
    for cell, digit in enumerate(cells):
        if digit:
            bit = 81 * (digit - 1) + cell
            # A clue that another clue already forbids must leave a contradiction behind.
            state = state & _KEPT[bit] if state >> bit & 1 else 0
    return state


def _grid_of(solution: int) -> Grid:
    cells = [0] * 81
    for low in _bits(solution):
        digit, cell = divmod(low.bit_length() - 1, 81)
        cells[cell] = digit + 1
    return tuple(cells)


def solve(cells: Sequence[int]) -> Grid | None:
    """A solution of the 81 `cells` (0 = blank), the only one if unique; None if there is none.

    Raises TaskError if they are not 81 digits from 0 to 9.
    """
    found = next(_search(_state_of(cells)), None)
    return None if found is None else _grid_of(found)


def count_solutions(cells: Sequence[int], limit: int = 2) -> int:
    """How many solutions the 81 `cells` have, counted up to `limit`."""
    count = 0
    for _ in _search(_state_of(cells)):
        count += 1
        if count >= limit:
            break
    return count


def random_solution(rng: random.Random) -> Grid:
    """A full valid grid: three diagonal boxes at random, the rest by randomised search."""
    cells = [0] * 81
    for box in range(3):
        digits = rng.sample(range(1, 10), 9)
        for i, digit in enumerate(digits):
            cells[30 * box + 9 * (i // 3) + i % 3] = digit
    return _grid_of(next(_search(_state_of(cells), rng)))


def dig(solution: Grid, rng: random.Random) -> Grid:
    """A minimal puzzle of `solution`: unique, and no clue can go without losing that."""
    bits = [81 * (digit - 1) + cell for cell, digit in enumerate(solution)]
    clues = set(range(81))
    for cell in rng.sample(range(81), 81):
        state = _ALL & ~(1 << bits[cell])
        for other in clues:
            if other != cell:
                state &= _KEPT[bits[other]]
        # With its digit forbidden here, any solution left is a second one of the puzzle.
        if next(_search(state), None) is None:
            clues.remove(cell)
    return tuple(digit if cell in clues else 0 for cell, digit in enumerate(solution))


def random_symmetry(rng: random.Random) -> tuple[list[int], list[int]]:
    """A random symmetry of Sudoku: where each of the 81 cells comes from, and new digits (0 -> 0).

    Rows within bands, bands, columns within stacks, stacks, transposition, digits: all of them.
    """
    rows, columns = _shuffled_lines(rng), _shuffled_lines(rng)
    across, down = (9, 1) if rng.random() < 0.5 else (1, 9)
    source = [across * row + down * column for row in rows for column in columns]
    return source, [0, *rng.sample(range(1, 10), 9)]


def _shuffled_lines(rng: random.Random) -> list[int]:
    return [3 * band + line for band in rng.sample(range(3), 3) for line in rng.sample(range(3), 3)]


def canonical(solution: Sequence[int]) -> str:
    """A text that is equal for all grids that a symmetry of Sudoku turns into each other.

    Two rows of a band define a permutation of the digits (above -> below). Relabelling digits
    conjugates it, permuting columns does not touch it, swapping the two rows inverts it: none
    changes its cycle type. Sorting the types within bands, the bands, and rows against columns
    removes the rest. It is an invariant, not a normal form: different grids may share a text.
    For a split that is enough, because such grids then merely lie on the same side.
    """
    rows = [tuple(solution[9 * i : 9 * i + 9]) for i in range(9)]
    columns = list(zip(*rows, strict=True))
    return "/".join(sorted((_cycles_of(rows), _cycles_of(columns))))


def _cycles_of(lines: Sequence[Sequence[int]]) -> str:
    bands = []
    for first in (0, 3, 6):
        a, b, c = lines[first : first + 3]
        bands.append(",".join(sorted(_cycle_type(*pair) for pair in ((a, b), (a, c), (b, c)))))
    return ";".join(sorted(bands))


def _cycle_type(above: Sequence[int], below: Sequence[int]) -> str:
    following = dict(zip(above, below, strict=True))
    lengths: Counter[int] = Counter()
    while following:
        digit = next(iter(following))
        length = 0
        while digit in following:
            digit = following.pop(digit)
            length += 1
        lengths[length] += 1
    return "".join(str(length) for length in sorted(lengths.elements()))
