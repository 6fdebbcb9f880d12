"""One model on held-out cases of one task: scores by bin, and what the answers cost."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from canvaslm import tasks
from canvaslm.engine.params import Effort, Params
from canvaslm.errors import ParameterError
from canvaslm.eval.asking import Asking, Mode
from canvaslm.eval.report import Report, summarise
from canvaslm.eval.trials.answer import Progress, answer
from canvaslm.eval.trials.local import Answerer, Local
from canvaslm.eval.trials.suite import Suite
from canvaslm.tasks.task import check_request

__all__ = ["Answerer", "Mode", "Plan", "evaluate", "examples", "suite"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure: `n` cases of `task`, spread evenly over its bins, or all of one bin.

    Case i of a bin depends on (task, bin, seed, i) alone, so more cases contain the fewer, and
    every model and mode sees the same ones. `seed` is that of the answers too. Raises
    ParameterError, and TaskError for no such task or bin.
    """

    task: str
    n: int = 200
    seed: int = 0
    mode: Mode = "diffusion"
    bin: str | None = None
    batch: int = 1
    max_tokens: int = 256
    effort: Effort | None = None

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ParameterError(f"n must be at least 1, got {self.n}")
        if self.mode == "ar" and self.batch > 1:
            raise ParameterError(f"mode ar answers one at a time: leave batch={self.batch} out")
        _ = self.asking  # which checks the rest
        check_request(tasks.get(self.task), split="test", bin=self.bin)

    @property
    def asking(self) -> Asking:
        """How every case is asked."""
        return Asking(
            mode=self.mode,
            seed=self.seed,
            max_tokens=self.max_tokens,
            effort=self.effort,
            batch=self.batch,
        )

    @property
    def params(self) -> Params:
        """The parameters of every request."""
        return self.asking.params


def examples(plan: Plan) -> list[tasks.Example]:
    """The cases of `plan`, all held out."""
    task = tasks.get(plan.task)
    bins = task.bins if plan.bin is None else (plan.bin,)
    chosen = []
    for number in range(plan.n):
        case, bin = number // len(bins), bins[number % len(bins)]
        rng = random.Random(f"{plan.task} {bin} {plan.seed} {case}")
        chosen.append(task.sample(rng, split="test", bin=bin))
    return chosen


def suite(plan: Plan) -> Suite:
    """The cases of `plan`, with their scorer."""
    return Suite(name=plan.task, examples=examples(plan), score=tasks.get(plan.task).score)


def evaluate(
    lm: Answerer,
    plan: Plan,
    *,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Report:
    """Answer and score the cases of `plan`; `progress` is called with cases done, and correct.

    The clock runs while the model answers, not while cases are made or scored.
    """
    records = answer([suite(plan)], Local(lm=lm, clock=clock), plan.asking, progress=progress)
    return summarise(records, task=plan.task, asking=plan.asking)
