"""`canvaslm eval`: score a model on held-out cases of a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from canvaslm.cli import options, output

if TYPE_CHECKING:
    from canvaslm.eval.report import Report

_PIPE_WIDTH = 160
"""Columns of a table that goes into a file, so that none is cut short."""


def evaluate(
    task: Annotated[
        str, typer.Argument(help="sudoku, scenes, ask, json or code.", show_default=False)
    ],
    n: Annotated[int, typer.Option("--n", help="Cases, spread evenly over the bins.")] = 200,
    seed: Annotated[int, typer.Option(help="Chooses the cases, and is that of the answers.")] = 0,
    mode: Annotated[
        Literal["diffusion", "ar", "one-shot"],
        typer.Option(help="ar: the same weights left to right; one-shot: one step per canvas."),
    ] = "diffusion",
    bin: Annotated[
        str | None, typer.Option(help="Only cases of this bin.", show_default=False)
    ] = None,
    batch: Annotated[int, typer.Option(help="Requests at a time.")] = 1,
    model: options.Model = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    as_json: options.Json = False,
) -> None:
    """Print the share of right answers, by bin, with steps per canvas and tokens per second."""
    from rich.progress import MofNCompleteColumn, TextColumn

    from canvaslm.cli.progress import bar
    from canvaslm.eval.machine import describe_device
    from canvaslm.eval.run import Plan
    from canvaslm.eval.run import evaluate as measure

    plan = Plan(task=task, n=n, seed=seed, mode=mode, bin=bin, batch=batch)
    lm = options.load(model, device=device, dtype=dtype)
    with bar(MofNCompleteColumn(), TextColumn("{task.fields[right]} right")) as progress:
        row = progress.add_task("answering", total=n, right=0)
        report = measure(
            lm,
            plan,
            progress=lambda done, right: progress.update(row, completed=done, right=right),
        )
    machine = {
        "model": model or "embedded",
        "device": describe_device(lm.choice.device),
        "dtype": str(lm.choice.dtype).removeprefix("torch."),
    }
    if as_json:
        output.write_json(report.as_json() | machine)
    else:
        _print(report, machine)


def _print(report: Report, machine: Mapping[str, str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table("bin", box=SIMPLE_HEAD)
    details = list(report.total.details)
    for name in ("cases", "right", "95 %", *details, "steps", "tokens/step"):
        table.add_column(name, justify="right")
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
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    console.print(f"{report.task}, {report.mode}, seed {report.seed}, {machine['model']} model")
    console.print(table)
    console.print(
        f"{report.tokens_per_second:,.0f} tokens/s, {report.batch} at a time: "
        f"{machine['device']}, {machine['dtype']}"
    )
