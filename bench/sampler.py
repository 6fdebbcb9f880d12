"""Quality against steps: one checkpoint under many sampler settings, on the same held-out cases.

    python bench/sampler.py [FOLDER] [--n 100] [--tasks sudoku scenes ...] [--json]

One setting at a time is moved away from the published ones, and then those of the checkpoint's
own generation_config.json are measured beside them.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import canvaslm
from canvaslm import LM, tasks
from canvaslm.engine.settings import Settings
from canvaslm.eval.run import Plan, evaluate

VARIANTS: dict[str, dict[str, float]] = {
    "published": {},
    "entropy bound 0.03": {"entropy_bound": 0.03},
    "entropy bound 0.3": {"entropy_bound": 0.3},
    "entropy bound 1": {"entropy_bound": 1.0},
    "confidence 0.0005": {"confidence": 0.0005},
    "confidence 0.02": {"confidence": 0.02},
    "temperature 0.4 to 0.1": {"t_max": 0.4, "t_min": 0.1},
    "temperature 1 to 0.6": {"t_max": 1.0, "t_min": 0.6},
    "96 steps": {"max_steps": 96},
    "stable for 2": {"stability": 2},
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One setting on one task."""

    setting: str
    task: str
    score: float
    steps_per_canvas: float | None


def variants(own: Settings) -> dict[str, Settings]:
    """The published settings, each change of them, and the checkpoint's own."""
    published = Settings(eos_ids=own.eos_ids)
    changed = {name: replace(published, **change) for name, change in VARIANTS.items()}  # type: ignore[arg-type]
    return changed | {"the checkpoint's own": own}


def measure(lm: LM, *, n: int, seed: int, names: list[str], only: list[str] | None) -> list[Row]:
    rows = []
    for setting, settings in variants(lm.settings).items():
        if only and setting not in only:
            continue
        model = LM(lm.model, tokenizer=lm.tokenizer, settings=settings, placement=lm.placement)
        for task in names:
            total = evaluate(model, Plan(task=task, n=n, seed=seed)).total
            steps = total.steps_per_canvas
            rows.append(Row(setting=setting, task=task, score=total.score, steps_per_canvas=steps))
            sys.stderr.write(f"{setting}: {task} {total.score:.1%}, {steps:.1f} steps\n")
    return rows


def table(rows: list[Row], names: list[str]) -> str:
    """Markdown: a line for each setting, score and steps per canvas for each task."""
    lines = ["| setting | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for setting in dict.fromkeys(row.setting for row in rows):
        cells = [
            f"{row.score:.1%}, {row.steps_per_canvas:.1f}" for row in rows if row.setting == setting
        ]
        lines.append(f"| {setting} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure what the command line asks for and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, nargs="?", help="default: the embedded model")
    parser.add_argument("--n", type=int, default=100, help="cases per task")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tasks", nargs="+", default=list(tasks.TASKS))
    parser.add_argument("--only", nargs="+", help="these settings alone")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args()
    lm = canvaslm.load(given.folder)
    rows = measure(lm, n=given.n, seed=given.seed, names=given.tasks, only=given.only)
    text = json.dumps([asdict(row) for row in rows], indent=1) if given.json else None
    sys.stdout.write((text or table(rows, given.tasks)) + "\n")


if __name__ == "__main__":
    main()
