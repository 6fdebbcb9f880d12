"""One model on held-out cases of one task: scores by bin, and what the answers cost."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from canvaslm import tasks
from canvaslm.engine.params import Effort, Params
from canvaslm.engine.params import Mode as EngineMode
from canvaslm.engine.result import Result
from canvaslm.errors import ParameterError
from canvaslm.eval.report import Case, Report, summarise
from canvaslm.tasks.task import check_request

Mode = Literal["diffusion", "ar", "one-shot"]
"""Canvases refined step by step; the same weights left to right; canvases taken after one step."""


class Answerer(Protocol):
    """What is measured: an `LM`, or a fake."""

    def generate_many(
        self, prompts: Sequence[str], *, params: Params, mode: EngineMode, batch: int
    ) -> list[Result]:
        """Answer each prompt, `batch` of them at a time."""
        ...


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
        for name in ("n", "batch"):
            if getattr(self, name) < 1:
                raise ParameterError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.mode not in get_args(Mode):
            names = ", ".join(get_args(Mode))
            raise ParameterError(f"mode must be one of {names}, got {self.mode!r}")
        if self.mode == "ar" and self.batch > 1:
            raise ParameterError(f"mode ar answers one at a time: leave batch={self.batch} out")
        self.params.check_mode("ar" if self.mode == "ar" else "diffusion")
        check_request(tasks.get(self.task), split="test", bin=self.bin)

    @property
    def params(self) -> Params:
        """The parameters of every request."""
        steps = 1 if self.mode == "one-shot" else None
        return Params(
            max_tokens=self.max_tokens, seed=self.seed, max_steps=steps, effort=self.effort
        )


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


def evaluate(
    lm: Answerer,
    plan: Plan,
    *,
    progress: Callable[[int, int], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Report:
    """Answer and score the cases of `plan`; `progress` is called with cases done, and correct.

    The clock runs while the model answers, not while cases are made or scored.
    """
    task = tasks.get(plan.task)
    asked = examples(plan)
    mode: EngineMode = "ar" if plan.mode == "ar" else "diffusion"
    cases: list[Case] = []
    seconds = 0.0
    for start in range(0, len(asked), plan.batch):
        group = asked[start : start + plan.batch]
        prompts = [example.prompt for example in group]
        begun = clock()
        results = lm.generate_many(prompts, params=plan.params, mode=mode, batch=plan.batch)
        seconds += clock() - begun
        for example, result in zip(group, results, strict=True):
            score = task.score(example, result.text)
            cases.append(Case(bin=example.bin, score=score, usage=result.usage))
        if progress is not None:
            progress(len(cases), sum(case.score.correct for case in cases))
    return summarise(
        cases, task=plan.task, mode=plan.mode, seed=plan.seed, batch=plan.batch, seconds=seconds
    )
