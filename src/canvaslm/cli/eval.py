"""`canvaslm eval`: score a model on held-out cases of tasks, on infilling, or on a user's files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from canvaslm.cli import (
    eval_calibration,
    eval_compare,
    eval_gsm8k,
    eval_infill,
    eval_likelihood,
    eval_options,
    eval_sudoku,
    options,
)
from canvaslm.cli.groups import grouped
from canvaslm.errors import ParameterError
from canvaslm.tasks import FORMS, LEARNT, TASKS

ALL = "all"

app = typer.Typer(
    help="Score a model on held-out cases, or compare two runs.",
    invoke_without_command=True,
    callback=eval_compare.compare_runs,
)
app.command("infill")(grouped(eval_infill.infill))
app.command("gsm8k")(grouped(eval_gsm8k.gsm8k))
app.command("calibration")(grouped(eval_calibration.calibration))
app.command("likelihood")(grouped(eval_likelihood.likelihood))


def _evaluation_of(task: str) -> Callable[..., None]:
    """The command that evaluates `task`."""

    def evaluate(
        *,
        more: eval_options.More = None,
        n: Annotated[
            int, typer.Option("--n", help="Cases of each task, spread evenly over its bins.")
        ] = 200,
        seed: eval_options.Seed = 0,
        mode: eval_options.Mode = "diffusion",
        bin: eval_options.Bin = None,
        budget: eval_options.Budget,
        source: eval_options.Source,
        kept: eval_options.Kept,
        as_json: options.Json = False,
    ) -> None:
        from canvaslm.cli.eval_run import Request, carry_out
        from canvaslm.eval.run import Plan, suite

        names = _named(task, more or [])
        if bin is not None and len(names) > 1:
            raise ParameterError("--bin is a bin of one task: evaluate that task alone")
        request = Request(mode=mode, seed=seed, budget=budget, source=source, kept=kept)
        plans = [Plan(task=name, n=n, seed=seed, bin=bin) for name in names]
        carry_out(
            request,
            lambda: [suite(plan) for plan in plans],
            asked={"tasks": names, "n": n, "bin": bin},
            as_json=as_json,
        )

    return evaluate


def _command(task: str) -> Callable[..., None]:
    held_out = _evaluation_of(task)
    return eval_sudoku.command(held_out) if task == "sudoku" else held_out


def _named(task: str, more: list[str]) -> list[str]:
    """The tasks that were named, each once."""
    if task == ALL or ALL in more:
        if more:
            raise ParameterError(f"{ALL} stands for {', '.join(TASKS)}: give it alone")
        return list(TASKS)
    return list(dict.fromkeys([task, *more]))


for _task in (*TASKS, *FORMS, *LEARNT, ALL):
    app.command(
        _task,
        help=f"Right answers on {'all tasks' if _task == ALL else _task}, by bin, with steps per "
        "canvas and tokens per second.",
    )(grouped(_command(_task)))
