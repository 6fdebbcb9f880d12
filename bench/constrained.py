"""With and without a constraint: score, validity and steps of the same cases and seeds.

    python bench/constrained.py [FOLDER] [--n 100] [--tasks json ask sudoku] [--json]

`json` is held to a schema of the keys that were asked for, with the type of each; `ask` to a choice
of the answers; `sudoku` to a regular expression of nine rows that keep the clues.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.progress import track

import canvaslm
from canvaslm import LM, Choice, JsonSchema, Params, Regex, tasks
from canvaslm.control.language import matches
from canvaslm.tasks.records import schema_of
from canvaslm.tasks.task import Example


def options_of(example: Example) -> Choice:
    """Yes or no, or the options that the question names."""
    if example.bin == "yes/no":
        return Choice(["yes", "no"])
    return Choice(example.prompt.rpartition("? ")[2].split(", "))


def rows_of(example: Example) -> Regex:
    """Nine rows of nine digits, the clues in their places."""
    puzzle = example.prompt.partition("\n")[2]
    return Regex(puzzle.replace("0", "[1-9]").replace("\n", r"\n"))


CONSTRAINTS: dict[str, Callable[[Example], Any]] = {
    "json": lambda example: JsonSchema(schema_of(example)),
    "ask": options_of,
    "sudoku": rows_of,
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One task, with or without. `valid` is the share of answers that match the constraint."""

    task: str
    constrained: bool
    n: int
    score: float
    valid: float
    steps: float
    ms_per_step: float


def measure(lm: LM, task: str, *, n: int, seed: int) -> list[Row]:
    rng, judge = random.Random(seed), tasks.get(task)
    bins = {"sudoku": "40+"}
    cases = [judge.sample(rng, split="test", bin=bins.get(task)) for _ in range(n)]
    rows = []
    for constrained in (False, True):
        right, valid, steps, speeds = 0, 0, 0, []
        for number, case in enumerate(track(cases, f"{task}, {constrained=}", disable=None)):
            constraint = CONSTRAINTS[task](case)
            params = Params(seed=number, constraint=constraint if constrained else None)
            result = lm.generate(case.prompt, params=params)
            right += judge.score(case, result.text).correct
            valid += matches(constraint, result.text)
            steps += result.usage.steps
            speeds.append(1e3 * result.usage.seconds / result.usage.steps)
        rows.append(
            Row(
                task=task,
                constrained=constrained,
                n=n,
                score=right / n,
                valid=valid / n,
                steps=steps / n,
                ms_per_step=statistics.median(speeds),
            )
        )
    return rows


def table(rows: list[Row]) -> str:
    lines = [
        "| task | constraint | right | matches | steps per answer | ms per step |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.task} | {'yes' if row.constrained else 'no'} | {row.score:.0%} | {row.valid:.0%} "
        f"| {row.steps:.1f} | {row.ms_per_step:.1f} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="a checkpoint; default: embedded")
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tasks", nargs="+", default=list(CONSTRAINTS), choices=list(CONSTRAINTS))
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    options = parser.parse_args()
    lm = canvaslm.load(options.folder)
    rows = [
        row for task in options.tasks for row in measure(lm, task, n=options.n, seed=options.seed)
    ]
    text = json.dumps([asdict(row) for row in rows], indent=2) if options.json else table(rows)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
