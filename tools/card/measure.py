"""Everything that a card says of one model, measured or gone on with, and put together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from bench.sudoku import STEPS, Ablations, Case, held_out, measure, measured, panels

import canvaslm
from canvaslm.eval.machine import cpu_name
from canvaslm.eval.sudoku import as_json, tallies
from canvaslm.tasks import TASKS
from canvaslm.tasks.sudoku_files import read_puzzles
from tools.card.facts import MEASURED, ancestors, fingerprints, shown, sizes, training
from tools.card.study import Study, curves, reports
from tools.card.tables import BINS, summary
from tools.readme import ROOT

Json = dict[str, Any]
Kind = Literal["tasks", "sudoku"]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be measured, and how well.

    kind   "tasks": all tasks of the package; "sudoku": grids in the owner's protocol
    run    the folder of the training run, with recipe and log; None: as the card has it
    by     the command that trained the weights
    runs   where answers are kept as they come
    rival, without_own, hard
           of a Sudoku model: others beside it, and files of puzzles
    """

    folder: Path
    kind: Kind
    command: str
    n: int = 200
    seed: int = 0
    batch: int = 16
    questions: int = 300
    steps: Sequence[int] = STEPS
    tasks: Sequence[str] = TASKS
    run: Path | None = None
    by: str | None = None
    runs: Path = ROOT / "runs" / "card"
    rival: Path | None = None
    without_own: Path | None = None
    hard: Sequence[Path] = ()


def carry_out(wanted: Wanted) -> tuple[Json, Json]:
    """The card's numbers, and those of the picture of score against steps."""
    torch.set_num_threads(1)  # seconds are one thread's
    known, stamp = known_of(wanted.folder), fingerprints(wanted.folder)
    trained = trained_by(wanted, known, stamp)
    lm = canvaslm.load(wanted.folder)
    found: Json = {
        "kind": wanted.kind,
        "folder": shown(wanted.folder),
        "command": wanted.command,
        "machine": f"{cpu_name()}, one thread, {str(lm.placement.dtype).removeprefix('torch.')}",
        "n": wanted.n,
        "seed": wanted.seed,
        **stamp,
        "model": sizes(lm, wanted.folder),
        "training": trained,
    }
    runs = wanted.runs / f"{wanted.folder.name}-{stamp['weights']}-{stamp['settings'][:4]}"
    if wanted.kind == "tasks":
        numbers, drawn = of_tasks(wanted, lm, runs, stamp)
    else:
        numbers, drawn = of_grids(wanted, lm, runs)
    found |= numbers
    found["generations"] = generations(wanted.folder, found)
    about = {key: found[key] for key in ("command", "machine", "n", "seed", "weights")}
    return found, {**about, "panels": drawn}


def known_of(folder: Path) -> Json:
    """What was measured before."""
    file = folder / MEASURED
    values: Json = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return values


def trained_by(wanted: Wanted, known: Mapping[str, Any], stamp: Mapping[str, str]) -> Json:
    """Where the weights come from; new ones must say so. Raises SystemExit."""
    if wanted.run is not None:
        return {**training(wanted.run), "by": wanted.by}
    if "training" not in known or known["weights"] != stamp["weights"]:
        raise SystemExit(
            f"the weights in {wanted.folder} are new: name the folder of the run that they come "
            "from, with its recipe.json and log.jsonl, by --run"
        )
    by = known["training"]["by"] if wanted.by is None else wanted.by
    return {**known["training"], "by": by}


def of_tasks(
    wanted: Wanted, lm: canvaslm.LM, runs: Path, stamp: Mapping[str, str]
) -> tuple[Json, list[Json]]:
    """All tasks as exported, in one shot and left to right; decisions; and the curves."""
    study = Study(
        lm=lm,
        runs=runs,
        stamp=stamp,
        n=wanted.n,
        seed=wanted.seed,
        steps=wanted.steps,
        tasks=wanted.tasks,
        questions=wanted.questions,
    )
    found = {
        "reports": [report.as_json() for report in reports(study)],
        "calibration": study.calibration(),
    }
    return found, curves(study)


def of_grids(wanted: Wanted, lm: canvaslm.LM, runs: Path) -> tuple[Json, list[Json]]:
    """The Sudoku ablations, hard lists, and the curves by bin of clues."""
    asked = Ablations(
        folder=wanted.folder,
        seed=wanted.seed,
        batch=wanted.batch,
        steps=wanted.steps,
        rival=wanted.rival,
        without_own=wanted.without_own,
    )
    rows, _ = measured(asked, held_out(wanted.n, wanted.seed), runs)
    first = next(iter(rows.values()))
    bins = [bin for bin in BINS if bin in first]
    found = {
        "rows": {name: {"bins": as_json(of)} for name, of in rows.items()},
        "hard": {file.name: hard_list(wanted, lm, file, runs) for file in wanted.hard},
    }
    return found, panels(rows, wanted.steps, bins)


def hard_list(wanted: Wanted, lm: canvaslm.LM, file: Path, runs: Path) -> Json:
    """All puzzles of a file, with clues in every place."""
    asked = Ablations(folder=wanted.folder, seed=wanted.seed, batch=wanted.batch)
    puzzles = read_puzzles(file)
    found = {}
    for clues, changes in asked.clues.items():
        name, how = f"{file.stem} {clues}", asked.how(**changes)
        case = Case(name=name, model=wanted.folder, how=how)
        found[clues] = as_json(tallies(measure(case, lm, puzzles, runs)))["all"]
    return found


def generations(folder: Path, found: Json) -> list[Json]:
    """Weights that were committed here before, and these."""
    listed = {
        one.weights: entry(one.weights, one.commit, one.measured, one.training)
        for one in ancestors(folder)
    }
    commit = listed.get(found["weights"], {}).get("commit")
    listed.pop(found["weights"], None)
    return [*listed.values(), entry(found["weights"], commit, found, found["training"])]


def entry(
    weights: str, commit: str | None, found: Mapping[str, Any], trained: Mapping[str, Any]
) -> Json:
    """One line of the table of generations."""
    reports = found.get("reports") or [{}]
    return {
        "weights": weights,
        "commit": commit,
        "recipe": trained.get("recipe"),
        "steps": trained.get("steps"),
        "seed": trained.get("seed"),
        "n": found.get("n") or reports[0].get("n"),
        "scores": summary(dict(found)),
    }
