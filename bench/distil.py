"""Before and after a second stage: score, steps per canvas and tokens per forward, case by case.

    python bench/distil.py AFTER [AFTER ...] [--before FOLDER] [--n 200] [--seed 11]
                           [--tasks sudoku ...] [--runs runs/distil] [--plot distil.svg] [--json]

Every checkpoint answers the same held-out cases with its own generation settings, one at a time.
`--runs` keeps each answer as it comes, and goes on where another call stopped. Several checkpoints
are a curve: the plot has a line for each task through them in the order given. Intervals are of
2000 resamples of the cases, the same cases for both sides.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import canvaslm
from canvaslm.cli.progress import bar
from canvaslm.engine.loading import POCKET
from canvaslm.eval.bootstrap import DRAWS
from canvaslm.eval.run import Plan, suite
from canvaslm.eval.trials.answer import answer
from canvaslm.eval.trials.compare import compare
from canvaslm.eval.trials.folder import Folder
from canvaslm.eval.trials.local import Local
from canvaslm.eval.trials.record import Record
from canvaslm.eval.trials.weights import fingerprint
from canvaslm.tasks import TASKS

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Side:
    """One checkpoint on some cases."""

    score: float
    steps_per_canvas: float
    tokens_per_forward: float


@dataclass(frozen=True, kw_only=True)
class Row:
    """One task, or all: two checkpoints on the same cases.

    difference  of the shares right, with its interval and McNemar's p
    faster      tokens per forward of `after` over `before`, with its interval
    """

    task: str
    n: int
    before: Side
    after: Side
    difference: float
    difference_interval: tuple[float, float]
    p: float
    faster: float
    faster_interval: tuple[float, float]


def ask(folder: Path, plan: Plan, runs: Path | None) -> list[Record]:
    """The records of one checkpoint on one task; what `runs` holds is not asked again."""
    cases, known, keep = suite(plan), list[Record](), None
    if runs is not None:
        weights = fingerprint(folder)
        settings = {"weights": weights, "task": plan.task, "seed": plan.seed}
        kept = Folder.begin(runs / f"{weights}-{plan.task}-{plan.seed}", settings, resume=True)
        known = [record for record in kept.records() if record.number < plan.n]
        keep = kept.keep
    if len(known) == plan.n:
        return sorted(known, key=lambda record: record.number)
    lm = canvaslm.load(folder)
    with bar() as progress:
        line = progress.add_task(f"{folder.name}: {plan.task}", total=plan.n)

        def show(done: int, right: int) -> None:
            del right
            progress.update(line, completed=done)

        return answer([cases], Local(lm=lm), plan.asking, known=known, keep=keep, progress=show)


def side(records: Sequence[Record]) -> Side:
    steps = sum(record.steps or 0 for record in records)
    return Side(
        score=sum(record.correct for record in records) / len(records),
        steps_per_canvas=steps / sum(record.canvases or 0 for record in records),
        tokens_per_forward=sum(record.tokens for record in records) / steps,
    )


def faster(before: Sequence[Record], after: Sequence[Record]) -> tuple[float, tuple[float, float]]:
    """The ratio of tokens per forward, and its interval by resampling the cases."""
    counts = np.array(
        [[b.tokens, b.steps, a.tokens, a.steps] for b, a in zip(before, after, strict=True)], float
    )

    def ratio(sums: np.ndarray[Any, Any]) -> Any:
        return (sums[..., 2] / sums[..., 3]) / (sums[..., 0] / sums[..., 1])

    rng = np.random.Generator(np.random.PCG64(0))
    drawn = [counts[rng.integers(len(counts), size=len(counts))].sum(axis=0) for _ in range(DRAWS)]
    low, high = np.quantile(ratio(np.stack(drawn)), (0.025, 0.975))
    return float(ratio(counts.sum(axis=0))), (float(low), float(high))


def row(task: str, before: Sequence[Record], after: Sequence[Record]) -> Row:
    found = compare(after, before)
    difference = found["all"] if "all" in found else found[before[0].task]
    times, interval = faster(before, after)
    return Row(
        task=task,
        n=len(before),
        before=side(before),
        after=side(after),
        difference=difference.difference,
        difference_interval=difference.interval,
        p=difference.p,
        faster=times,
        faster_interval=interval,
    )


def rows(before: Mapping[str, list[Record]], after: Mapping[str, list[Record]]) -> list[Row]:
    """A row for each task, and one for all of them, which count by their cases."""
    found = [row(task, before[task], after[task]) for task in before]
    together = [[record for task in before for record in of[task]] for of in (before, after)]
    return [*found, row("all", *together)]


def table(found: Sequence[Row]) -> str:
    """Markdown."""
    lines = [
        "| task | cases | right before | after | difference | steps per canvas before | after "
        "| tokens per forward before | after | times |",
        "|" + "---|" * 10,
    ]
    for one in found:
        low, high = one.difference_interval
        slow, fast = one.faster_interval
        lines.append(
            f"| {one.task} | {one.n} | {one.before.score:.1%} | {one.after.score:.1%} "
            f"| {one.difference:+.1%} ({low:+.1%} to {high:+.1%}, p {one.p:.2g}) "
            f"| {one.before.steps_per_canvas:.1f} | {one.after.steps_per_canvas:.1f} "
            f"| {one.before.tokens_per_forward:.1f} | {one.after.tokens_per_forward:.1f} "
            f"| {one.faster:.2f} ({slow:.2f} to {fast:.2f}) |"
        )
    return "\n".join(lines)


def plot(sides: Mapping[str, Sequence[Side]], names: Sequence[str], file: Path) -> None:
    """Score over steps per canvas, a line for each task through all checkpoints."""
    pyplot = import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots(figsize=(6.4, 4.2), layout="constrained")
    for task, points in sides.items():
        x, y = [p.steps_per_canvas for p in points], [p.score for p in points]
        axes.plot(x, y, marker="o", label=task)
        for place, name in enumerate(names):
            axes.annotate(name, (x[place], y[place]), fontsize=6)
    axes.set_xscale("log")
    axes.set_xlabel("steps per canvas")
    axes.set_ylabel("share right")
    axes.legend()
    figure.savefig(file)


def main() -> None:
    """Measure what the command line asks for and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("after", type=Path, nargs="+", help="checkpoint folders")
    parser.add_argument("--before", type=Path, default=POCKET, help="default: the embedded model")
    parser.add_argument("--n", type=int, default=200, help="cases per task")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--runs", type=Path, help="keep answers here")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args()
    plans = [Plan(task=task, n=given.n, seed=given.seed) for task in given.tasks]
    folders = [given.before, *given.after]
    records = [{plan.task: ask(folder, plan, given.runs) for plan in plans} for folder in folders]
    found = {str(f): rows(records[0], of) for f, of in zip(given.after, records[1:], strict=True)}
    if given.plot is not None:
        sides = {task: [side(of[task]) for of in records] for task in given.tasks}
        names = ["before", *(folder.parent.name for folder in given.after)]
        plot(sides, names, given.plot)
    if given.json:
        document: Json = {name: [asdict(one) for one in of] for name, of in found.items()}
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
    else:
        text = "\n\n".join(f"{name}\n\n{table(of)}" for name, of in found.items())
        sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
