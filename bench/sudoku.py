"""The Sudoku ablations: one checkpoint over steps, pins, self-conditioning and left to right.

    python bench/sudoku.py FOLDER [--n 500] [--rival FOLDER] [--without-own FOLDER]
                           [--file hard.txt] [--plot sudoku.svg] [--json]

Puzzles are held out up to every symmetry, `n` spread over the bins of clues, or come from a file.
`--rival` is a model of the same size trained with `--left-to-right`, `--without-own` one trained
with `--own 0`. Both add a row.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.progress import track

import canvaslm
from canvaslm import LM
from canvaslm.eval.machine import describe_device
from canvaslm.eval.sudoku import Form, How, Solved, Tally, as_json, solve_all, tallies
from canvaslm.tasks.sudoku import Sudoku
from canvaslm.tasks.sudoku_files import Puzzle, read_puzzles
from canvaslm.tasks.sudoku_protocol import OWN_BINS, bin_of, digits_of

STEPS = (1, 2, 4, 8, 16, 48)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A line of the table."""

    name: str
    model: Path | None
    how: How


def held_out(n: int, seed: int) -> list[Puzzle]:
    """`n` puzzles of the test split, spread over the task's bins."""
    task = Sudoku()
    found = []
    for number in range(n):
        bin = task.bins[number % len(task.bins)]
        rng = random.Random(f"bench {bin} {seed} {number}")
        example = task.sample(rng, split="test", bin=bin)
        cells, solution = task.puzzle(example), digits_of(example.answer)
        found.append(Puzzle(cells=cells, solution=solution, line=number + 1))
    return found


def cases(given: argparse.Namespace) -> Iterator[Case]:
    form: Form = given.form

    def how(**changes: object) -> How:
        return How(**({"form": form, "seed": given.seed, "batch": given.batch} | changes))

    own: Path | None = given.folder
    yield Case(name="as exported", model=own, how=how())
    yield Case(name="as exported, clues pinned", model=own, how=how(pins=True))
    for steps in given.steps:
        name = "one shot" if steps == 1 else f"{steps} steps"
        yield Case(name=name, model=own, how=how(max_steps=steps))
        yield Case(name=f"{name}, clues pinned", model=own, how=how(max_steps=steps, pins=True))
    yield Case(name="without self-conditioning", model=own, how=how(sighted=False))
    if given.without_own:
        yield Case(name="not trained on own outputs", model=given.without_own, how=how())
    yield Case(name="left to right, the same weights", model=own, how=how(mode="ar"))
    if given.rival:
        yield Case(name="left to right, trained for it", model=given.rival, how=how(mode="ar"))


def measure(case: Case, lm: LM, puzzles: Sequence[Puzzle]) -> list[Solved]:
    found: list[Solved] = []
    size = 1 if case.how.mode == "ar" else case.how.batch
    for start in track(range(0, len(puzzles), size), case.name, disable=not sys.stderr.isatty()):
        found += solve_all(lm, puzzles[start : start + size], case.how)
    return found


def table(rows: dict[str, dict[str, Tally]], bins: Sequence[str]) -> str:
    """Markdown: a line for each case, the share of each bin solved."""
    head = ["asked", *bins, "all", "95 %", "cells", "clues kept", "steps", "s"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, of in rows.items():
        total = of["all"]
        low, high = total.interval
        cells = [f"{of[bin].score:.1%}" if bin in of else "–" for bin in (*bins, "all")]
        cells += [f"{low:.0%}–{high:.0%}", f"{total.cells:.1%}", f"{total.kept:.1%}"]
        cells += [f"{total.steps:.1f}", f"{total.seconds:.3f}"]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines)


def plot(rows: dict[str, dict[str, Tally]], steps: Sequence[int], path: Path) -> None:
    """Share solved against the most steps allowed, with pins and without, beside left to right."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    names = ["one shot" if count == 1 else f"{count} steps" for count in steps]
    for suffix, label in (("", "clues in the prompt"), (", clues pinned", "clues pinned, too")):
        scores = [100 * rows[name + suffix]["all"].score for name in names]
        axes.plot(steps, scores, marker="o", label=label)
    for name, style in (
        ("left to right, the same weights", ":"),
        ("left to right, trained for it", "--"),
    ):
        if name in rows:
            axes.axhline(100 * rows[name]["all"].score, color="grey", linestyle=style, label=name)
    axes.set_xscale("log", base=2)
    axes.set_xticks(steps, [str(count) for count in steps])
    axes.set(xlabel="most steps of a canvas", ylabel="grids solved, %", ylim=(-2, 102))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)


def main() -> None:
    """Measure what the command line asks for and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="default: the embedded model")
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, nargs="+", default=list(STEPS))
    parser.add_argument("--form", choices=("spaced", "rows"), help="default: as the model knows it")
    parser.add_argument("--file", type=Path, help="puzzles of a file instead")
    parser.add_argument("--rival", type=Path, help="a model trained with --left-to-right")
    parser.add_argument("--without-own", type=Path, help="a model trained with --own 0")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args()
    given.form = given.form or ("rows" if given.folder is None else "spaced")
    puzzles = (
        read_puzzles(given.file, most=given.n) if given.file else held_out(given.n, given.seed)
    )
    models: dict[Path | None, LM] = {}
    rows: dict[str, dict[str, Tally]] = {}
    for case in cases(given):
        if case.model not in models:
            models[case.model] = canvaslm.load(case.model)
        rows[case.name] = tallies(measure(case, models[case.model], puzzles))
    if given.plot:
        plot(rows, given.steps, given.plot)
    bins = [bin for bin in OWN_BINS if any(bin_of(p.clues) == bin for p in puzzles)]
    device = describe_device(models[given.folder].placement.device)
    if given.json:
        document = {
            name: {"how": asdict(case.how)} for name, case in ((c.name, c) for c in cases(given))
        }
        for name, of in rows.items():
            document[name] |= {"bins": as_json(of)}
        sys.stdout.write(json.dumps({"device": device, "rows": document}, indent=1) + "\n")
    else:
        sys.stdout.write(f"{table(rows, bins)}\n\n{len(puzzles)} puzzles, {device}\n")


if __name__ == "__main__":
    main()
