"""Sudoku files of others: CSV with solutions, lists of puzzles, and digits apart, all validated."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from canvaslm.errors import TaskError
from canvaslm.tasks.sudoku_grid import Grid, canonical, count_solutions, solve
from canvaslm.tasks.sudoku_protocol import bin_of, spaced
from canvaslm.tasks.task import Example

COLUMNS = {
    "puzzle": "solution",
    "quizzes": "solutions",
    "question": "answer",
}
"""Column of puzzles -> column of solutions: pairs, Kaggle's, Sudoku-Extreme's."""

BLANKS = str.maketrans(".-_*", "0000")


@dataclass(frozen=True, kw_only=True)
class Puzzle:
    """A puzzle with its solution, the only one unless the file gives one."""

    cells: Grid
    solution: Grid
    line: int  # in its file

    @property
    def clues(self) -> int:
        return 81 - self.cells.count(0)

    def example(self) -> Example:
        """The case in the owner's protocol."""
        return Example(
            task="sudoku-protocol",
            prompt=spaced(self.cells),
            answer=spaced(self.solution),
            bin=bin_of(self.clues),
            canonical=canonical(self.solution),
        )


def read_puzzles(path: str | Path, *, most: int | None = None) -> list[Puzzle]:
    """All puzzles of a file, or the first `most`.

    A CSV has a header with `puzzle`, `quizzes` or `question` and the column of solutions that goes
    with it (which may be missing); any other file has a puzzle a line: 81 cells, together or apart,
    `.` or `0` for a blank, perhaps followed by a solution after a comma, a tab or more spaces;
    lines that start with `#` are left out. Raises TaskError with the line of what cannot be used.
    """
    place = Path(path).expanduser()
    found: list[Puzzle] = []
    try:
        with place.open(encoding="utf-8-sig", newline="") as file:
            for line, puzzle, solution in rows_of(place, file):
                found.append(check(f"{place}, line {line}", line, puzzle, solution))
                if most is not None and len(found) >= most:
                    break
    except OSError as error:
        raise TaskError(f"cannot read {place}: {error}; give a file of puzzles") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise TaskError(f"{place} is no text of puzzles: {error}") from None
    if not found:
        raise TaskError(f"{place} holds no puzzle: expected 81 cells a line")
    return found


def rows_of(place: Path, file: Iterator[str]) -> Iterator[tuple[int, str, str | None]]:
    """Line, puzzle and solution, if there is one, of every row."""
    first = ""
    line = 0
    for line, first in enumerate(file, start=1):  # noqa: B007
        if first.strip() and not first.startswith("#"):
            break
    if re.search("[A-Za-z]", first):
        yield from table(place, first, file, line)
        return
    yield from plain(place, line, first)
    for number, text in enumerate(file, start=line + 1):
        yield from plain(place, number, text)


def table(
    place: Path, header: str, file: Iterator[str], line: int
) -> Iterator[tuple[int, str, str | None]]:
    names = [name.strip().lower() for name in next(csv.reader([header]))]
    puzzle = next((name for name in COLUMNS if name in names), None)
    if puzzle is None:
        raise TaskError(
            f"{place}, line {line}: the columns are {', '.join(names)}; expected one of "
            f"{', '.join(COLUMNS)}, and its solutions in {', '.join(COLUMNS.values())}"
        )
    answer = COLUMNS[puzzle]
    reader = csv.reader(file)
    for row in reader:
        number = line + reader.line_num
        if not row:
            continue
        if len(row) != len(names):
            raise TaskError(
                f"{place}, line {number}: {len(row)} columns, the header has {len(names)}"
            )
        values = dict(zip(names, row, strict=True))
        yield number, values[puzzle], values.get(answer)


def plain(place: Path, line: int, text: str) -> Iterator[tuple[int, str, str | None]]:
    text = text.strip()
    if not text or text.startswith("#"):
        return
    parts = [part for part in re.split(r"[,;\t]|\s{2,}", text) if part.strip()]
    if len(parts) == 1 and re.fullmatch(r"\S{81}\s\S{81}", text):
        parts = text.split()
    if len(parts) > 2:
        raise TaskError(f"{place}, line {line}: {len(parts)} fields; expected a puzzle a line")
    yield line, parts[0], parts[1] if len(parts) == 2 else None


def check(where: str, line: int, puzzle: str, solution: str | None) -> Puzzle:
    """A row as a puzzle, or TaskError that says what is wrong with it."""
    cells = cells_of(where, "puzzle", puzzle)
    conflict(where, cells)
    if solution is not None and solution.strip():
        given = cells_of(where, "solution", solution)
        agree(where, cells, given)
        if 0 in given:
            raise TaskError(f"{where}: the solution has a blank; expected 81 digits from 1 to 9")
        conflict(where, given, "solution's digits")
        return Puzzle(cells=cells, solution=given, line=line)
    count = count_solutions(cells)
    if count != 1:
        said = "no solution" if count == 0 else "several solutions"
        raise TaskError(f"{where}: the puzzle has {said}; expected exactly one")
    found = solve(cells)
    assert found is not None
    return Puzzle(cells=cells, solution=found, line=line)


def cells_of(where: str, what: str, text: str) -> Grid:
    squeezed = re.sub(r"\s", "", text).translate(BLANKS)
    strange = sorted(set(squeezed) - set("0123456789"))
    if strange:
        raise TaskError(
            f"{where}: the {what} holds {strange[0]!r}; expected digits, and 0 or . for a blank"
        )
    if len(squeezed) != 81:
        raise TaskError(f"{where}: the {what} has {len(squeezed)} cells; expected 81")
    return tuple(map(int, squeezed))


def conflict(where: str, cells: Grid, what: str = "clues") -> None:
    """Raise TaskError for two equal digits in one row, column or box."""
    seen: dict[tuple[str, int, int], int] = {}
    for cell, digit in enumerate(cells):
        row, column = divmod(cell, 9)
        box = 3 * (row // 3) + column // 3
        for kind, unit in (("row", row), ("column", column), ("box", box)):
            if digit and (kind, unit, digit) in seen:
                raise TaskError(
                    f"{where}: the {what} contradict each other: {digit} stands twice in "
                    f"{kind} {unit + 1}"
                )
            seen[kind, unit, digit] = cell


def agree(where: str, cells: Grid, solution: Grid) -> None:
    for cell, (clue, digit) in enumerate(zip(cells, solution, strict=True)):
        if clue and clue != digit:
            raise TaskError(
                f"{where}: the solution has {digit} in row {cell // 9 + 1}, column "
                f"{cell % 9 + 1}, where the puzzle has the clue {clue}"
            )
