"""The Sudoku ablations: one checkpoint over steps, pins, self-conditioning and left to right.

    python bench/sudoku.py FOLDER [--n 500] [--rival FOLDER] [--without-own FOLDER]
                           [--file hard.txt] [--runs runs/ablations] [--plot sudoku.svg] [--json]

`--runs` keeps every answer there as it comes, and goes on where another run stopped. Puzzles are
held out up to every symmetry, `n` spread over the bins of clues, or come from a file.
`--rival` is a model of the same size trained with `--left-to-right`, `--without-own` one trained
with `--own 0`. Both add a row.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

import canvaslm
from canvaslm import LM
from canvaslm.cli.progress import bar
from canvaslm.engine.loading import POCKET
from canvaslm.eval.grids import Grids, asking_of, solved_of, suite_of
from canvaslm.eval.machine import describe_device
from canvaslm.eval.pages.curves import draw
from canvaslm.eval.sudoku import Form, How, Solved, Tally, as_json, tallies
from canvaslm.eval.trials.answer import answer
from canvaslm.eval.trials.folder import Folder
from canvaslm.eval.trials.record import Record
from canvaslm.eval.trials.weights import fingerprint
from canvaslm.tasks.sudoku import Sudoku
from canvaslm.tasks.sudoku_files import Puzzle, read_puzzles
from canvaslm.tasks.sudoku_protocol import OWN_BINS, bin_of, digits_of

Json = dict[str, Any]
CLOCK = time.process_time
"""One thread's processor time, which other work on the machine does not move much."""

STEPS = (1, 2, 4, 8, 16, 48)
EXPORTED = "as exported"
CLUES: Mapping[str, Mapping[str, bool]] = {
    "clues in the prompt": {},
    "clues pinned, too": {"pins": True},
    "clues on the canvas alone": {"alone": True},
}
"""Where the clues stand."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A line of the table."""

    name: str
    model: Path | None
    how: How


@dataclass(frozen=True, kw_only=True)
class Ablations:
    """What is asked of one model, and of others beside it."""

    folder: Path | None = None
    form: Form = "spaced"
    seed: int = 0
    batch: int = 16
    steps: Sequence[int] = STEPS
    rival: Path | None = None
    without_own: Path | None = None

    @property
    def clues(self) -> Mapping[str, Mapping[str, bool]]:
        """The embedded model was always shown the clues in the prompt."""
        known = list(CLUES)[: 2 if self.folder is None else 3]
        return {name: CLUES[name] for name in known}

    def how(self, **changes: Any) -> How:
        return How(**({"form": self.form, "seed": self.seed, "batch": self.batch} | changes))

    def cases(self) -> Iterator[Case]:
        own, how = self.folder, self.how
        for steps in (None, *self.steps):
            for clues, changes in self.clues.items():
                asked = how(max_steps=steps, **changes)
                yield Case(name=f"{named(steps)}, {clues}", model=own, how=asked)
        for clues, changes in self.clues.items():
            blind = how(sighted=False, **changes)
            yield Case(name=f"without self-conditioning, {clues}", model=own, how=blind)
            if self.without_own:
                name = f"not trained on own outputs, {clues}"
                yield Case(name=name, model=self.without_own, how=how(**changes))
        yield Case(name="left to right, the same weights", model=own, how=how(mode="ar"))
        if self.rival:
            yield Case(name="left to right, trained for it", model=self.rival, how=how(mode="ar"))


def named(steps: int | None) -> str:
    """How a line of so many steps is called."""
    if steps is None:
        return EXPORTED
    return "one shot" if steps == 1 else f"{steps} steps"


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


def measure(case: Case, lm: LM, puzzles: Sequence[Puzzle], runs: Path | None) -> list[Solved]:
    """Ask what `runs` does not hold yet."""
    suite, asking = suite_of(puzzles), asking_of(case.how)
    grids, known, keep = Grids(lm=lm, how=case.how, clock=CLOCK), list[Record](), None
    if runs is not None:
        settings = {**asdict(case.how), "weights": fingerprint(case.model or POCKET)}
        name = case.name.replace(",", "").replace(" ", "-")
        folder = Folder.begin(runs / name, settings, resume=True)
        known = [one for one in folder.records() if one.number < len(puzzles)]
        keep = folder.keep
    with bar() as progress:
        row = progress.add_task(case.name, total=len(puzzles))
        records = answer(
            [suite],
            grids,
            asking,
            known=known,
            keep=keep,
            progress=lambda done, right: progress.update(row, completed=done),
        )
    return [solved_of(record) for record in records]


def table(rows: Mapping[str, Mapping[str, Tally]], bins: Sequence[str]) -> str:
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


def panels(
    rows: Mapping[str, Mapping[str, Tally]], steps: Sequence[int], bins: Sequence[str]
) -> list[Json]:
    """What `draw` takes: a panel for each bin, a line for each way to ask."""
    return [
        {
            "name": f"{bin} clues",
            "lines": {
                clues: [point(rows[f"{named(count)}, {clues}"][bin], count) for count in steps]
                for clues in CLUES
                if f"{EXPORTED}, {clues}" in rows
            },
            "left to right": {
                name.removeprefix("left to right, "): point(rows[name][bin], None)
                for name in rows
                if name.startswith("left to right")
            },
        }
        for bin in bins
    ]


def point(tally: Tally, steps: int | None) -> Json:
    return {
        "steps": steps,
        "n": tally.n,
        "score": tally.score,
        "interval": list(tally.interval),
        "passes": tally.steps,
    }


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
    parser.add_argument("--plot", type=Path, help="a picture; its data go beside it as .json")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--runs", type=Path, help="where the answers are kept")
    given = parser.parse_args()
    torch.set_num_threads(1)
    asked = ablations(given)
    puzzles = (
        read_puzzles(given.file, most=given.n) if given.file else held_out(given.n, given.seed)
    )
    rows, machine = measured(asked, puzzles, given.runs)
    bins = [bin for bin in OWN_BINS if any(bin_of(p.clues) == bin for p in puzzles)]
    if given.plot:
        data = {"machine": machine, "n": given.n, "seed": given.seed}
        data |= {"panels": panels(rows, given.steps, bins)}
        draw(data, given.plot)
        given.plot.with_suffix(".json").write_text(json.dumps(data, indent=1) + "\n")
    if given.json:
        document = {
            case.name: {"how": asdict(case.how), "bins": as_json(rows[case.name])}
            for case in asked.cases()
        }
        sys.stdout.write(json.dumps({"device": machine, "rows": document}, indent=1) + "\n")
    else:
        sys.stdout.write(f"{table(rows, bins)}\n\n{len(puzzles)} puzzles, {machine}\n")


def ablations(given: argparse.Namespace) -> Ablations:
    """What the command line asks for."""
    return Ablations(
        folder=given.folder,
        form=given.form or ("rows" if given.folder is None else "spaced"),
        seed=given.seed,
        batch=given.batch,
        steps=given.steps,
        rival=given.rival,
        without_own=given.without_own,
    )


def measured(
    asked: Ablations, puzzles: Sequence[Puzzle], runs: Path | None
) -> tuple[dict[str, dict[str, Tally]], str]:
    """Every line of the table, and the machine; a model is loaded when its turn comes."""
    models: dict[Path | None, LM] = {}
    rows: dict[str, dict[str, Tally]] = {}
    for case in asked.cases():
        if case.model not in models:
            models[case.model] = canvaslm.load(case.model)
        rows[case.name] = tallies(measure(case, models[case.model], puzzles, runs))
    return rows, describe_device(models[asked.folder].placement.device)


if __name__ == "__main__":
    main()
