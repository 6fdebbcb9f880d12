"""A model asked every task in every way, case by case, in a folder that can be gone on with."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.sudoku import STEPS

from canvaslm import LM, tasks
from canvaslm.cli.progress import bar
from canvaslm.eval.asking import Asking
from canvaslm.eval.reliability import reliability
from canvaslm.eval.report import Report, summarise, wilson
from canvaslm.eval.run import Plan, suite
from canvaslm.eval.trials.answer import Asked, answer
from canvaslm.eval.trials.folder import Folder
from canvaslm.eval.trials.local import Local
from canvaslm.eval.trials.record import Record
from canvaslm.eval.trials.suite import Suite

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is asked of one model: `n` cases of each task, and where the answers are kept.

    steps  diffusion is also asked with at most so many steps a canvas; 1 is one shot
    runs   a folder for each task and way; more cases go on with fewer
    clock  what the seconds are of: on a CPU one thread's processor time, which other work on the
           machine does not move much
    stamp  what tells these weights and settings from others
    """

    lm: LM
    runs: Path
    stamp: Mapping[str, str]
    n: int = 200
    seed: int = 0
    steps: Sequence[int] = STEPS
    tasks: Sequence[str] = field(default_factory=lambda: tasks.TASKS)
    questions: int = 300
    clock: Callable[[], float] = time.process_time

    @property
    def ways(self) -> dict[str, Asking]:
        """Each way to ask, by the name of its folder."""
        asked = {"diffusion": Asking(seed=self.seed), "ar": Asking(seed=self.seed, mode="ar")}
        for steps in self.steps:
            if steps == 1:
                asked["steps-1"] = Asking(seed=self.seed, mode="one-shot")
            else:
                asked[f"steps-{steps}"] = Asking(seed=self.seed, max_steps=steps)
        return asked

    def records(self, task: str, way: str) -> list[Record]:
        """One task asked in one way; only what is not answered yet is asked."""
        asking = self.ways[way]
        if asking.max_steps == self.lm.settings.max_steps:
            way, asking = "diffusion", self.ways["diffusion"]  # the same answers
        cases = suite(Plan(task=task, n=self.n, seed=self.seed))
        settings = {"task": task, **asdict(asking), **self.stamp}
        asked = Local(lm=self.lm, clock=self.clock)
        return kept(cases, asked, asking, self.runs / task / way, settings)

    def report(self, task: str, way: str) -> Report:
        """The same, counted up."""
        return summarise(self.records(task, way), task=task, asking=self.ways[way])

    def calibration(self) -> Json:
        """How often decisions are right that were taken with a certain probability."""
        place = self.runs / f"calibration-{self.questions}-{self.seed}.json"
        if not place.exists():
            found = reliability(self.lm, n=self.questions, seed=self.seed)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps({**found.as_json(), "seed": self.seed}))
        values: Json = json.loads(place.read_text())
        return values


def kept(
    cases: Suite, asked: Asked, asking: Asking, folder: Path, settings: Mapping[str, Any]
) -> list[Record]:
    """The records of all cases, of which those that `folder` holds are not asked again."""
    run = Folder.begin(folder, settings, resume=True)
    total = len(cases.examples)
    known = [record for record in run.records() if record.number < total]
    if len(known) == total:
        return answer([cases], asked, asking, known=known)
    with bar() as progress:
        row = progress.add_task("/".join(folder.parts[-2:]), total=total, completed=len(known))
        found = answer(
            [cases],
            asked,
            asking,
            known=known,
            keep=run.keep,
            progress=lambda done, right: progress.update(row, completed=done),
        )
    right = sum(record.correct for record in found)
    print(f"{'/'.join(folder.parts[-2:])}: {right} of {total}", file=sys.stderr)
    return found


def reports(study: Study) -> list[Report]:
    """What the table of a card shows: every task as exported, in one shot, and left to right."""
    ways = ("diffusion", "steps-1", "ar")
    return [study.report(task, way) for task in study.tasks for way in ways]


def curves(study: Study) -> list[Json]:
    """For each task: diffusion with at most so many steps, and left to right."""
    return [
        {
            "name": task,
            "lines": {
                "diffusion": [
                    {"steps": steps, **point(study.records(task, f"steps-{steps}"))}
                    for steps in study.steps
                ]
            },
            "left to right": {"the same weights": point(study.records(task, "ar"))},
        }
        for task in study.tasks
    ]


def point(records: Sequence[Record]) -> Json:
    """Share right with its interval and passes for each answer: in all, and by bin."""
    names = dict.fromkeys(record.bin for record in records)
    of = {name: [record for record in records if record.bin == name] for name in names}
    return {**brief(records), "bins": {name: brief(mine) for name, mine in of.items()}}


def brief(records: Sequence[Record]) -> Json:
    """The figures of some records, at least one."""
    n, right = len(records), sum(record.correct for record in records)
    return {
        "n": n,
        "score": round(right / n, 4),
        "interval": [round(value, 4) for value in wilson(right, n)],
        "passes": round(sum(record.steps or 0 for record in records) / n, 2),
    }
