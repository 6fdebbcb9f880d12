"""`canvaslm eval`: score a model on held-out cases of a task, or on infilling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from canvaslm.cli import eval_infill, options, output, parameters
from canvaslm.tasks import TASKS

if TYPE_CHECKING:
    from canvaslm import LM
    from canvaslm.eval.report import Report
    from canvaslm.eval.run import Plan


app = typer.Typer(help="Score a model on held-out cases.")
app.command("infill")(eval_infill.infill)


def _evaluation_of(task: str) -> Callable[..., None]:
    """The command that evaluates `task`."""

    def evaluate(
        n: Annotated[int, typer.Option("--n", help="Cases, spread evenly over the bins.")] = 200,
        seed: Annotated[
            int, typer.Option(help="Chooses the cases, and is that of the answers.")
        ] = 0,
        mode: Annotated[
            Literal["diffusion", "ar", "one-shot"],
            typer.Option(help="ar: the same weights left to right; one-shot: one step per canvas."),
        ] = "diffusion",
        bin: Annotated[
            str | None, typer.Option(help="Only cases of this bin.", show_default=False)
        ] = None,
        batch: Annotated[int, typer.Option(help="Requests at a time.")] = 1,
        effort: parameters.Effort = None,
        model: options.Model = None,
        device: options.Device = "auto",
        dtype: options.Dtype = "auto",
        as_json: options.Json = False,
    ) -> None:
        from canvaslm.eval.run import Plan

        plan = Plan(task=task, n=n, seed=seed, mode=mode, bin=bin, batch=batch, effort=effort)
        lm = options.load(model, device=device, dtype=dtype)
        report, machine = _measure(lm, plan), output.measured(lm, model)
        if as_json:
            output.write_json(report.as_json() | machine)
        else:
            _print(report, machine)

    return evaluate


for _task in TASKS:
    app.command(
        _task,
        help=f"Right answers on {_task}, by bin, with steps per canvas and tokens per second.",
    )(_evaluation_of(_task))


def _measure(lm: LM, plan: Plan) -> Report:
    from rich.progress import MofNCompleteColumn, TextColumn

    from canvaslm.cli.progress import bar
    from canvaslm.eval.run import evaluate

    with bar(MofNCompleteColumn(), TextColumn("{task.fields[right]} right")) as progress:
        row = progress.add_task("answering", total=plan.n, right=0)
        return evaluate(
            lm,
            plan,
            progress=lambda done, right: progress.update(row, completed=done, right=right),
        )


def _print(report: Report, machine: Mapping[str, str]) -> None:
    details = list(report.total.details)
    table = output.figures("bin", "cases", "right", "95 %", *details, "steps", "tokens/step")
    for name, row in (*report.bins.items(), ("all", report.total)):
        low, high = row.interval
        steps = "–" if row.steps_per_canvas is None else f"{row.steps_per_canvas:.1f}"
        table.add_row(
            name,
            str(row.n),
            f"{row.score:.1%}",
            f"{low * 100:.0f}–{high * 100:.0f}",
            *(f"{row.details[key]:.1%}" if key in row.details else "–" for key in details),
            steps,
            f"{row.tokens_per_forward:.1f}",
            style="bold" if name == "all" else None,
        )
    console = output.console()
    console.print(f"{report.task}, {report.mode}, seed {report.seed}, {machine['model']} model")
    console.print(table)
    console.print(
        f"{report.tokens_per_second:,.0f} tokens/s, {report.batch} at a time: "
        f"{machine['device']}, {machine['dtype']}"
    )
