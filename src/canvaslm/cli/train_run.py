"""A training run under a progress bar, in one process or several."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress, TaskID

    from canvaslm.cli.train_options import Running
    from canvaslm.training.recipe import Recipe
    from canvaslm.training.trainer import Record


SLOW = 0.5
"""The gain below which bfloat16 is warned of: less than half the speed of float32 is no noise."""


def carry_out(recipe: Recipe, out: Path, running: Running) -> None:
    """Run it, and draw its losses at the end; of several processes only the leading one shows
    anything."""
    from functools import partial

    from canvaslm.cli.train_options import Sharing
    from canvaslm.training.launch import launched
    from canvaslm.training.loop import train

    sharded = isinstance(running, Sharing) and running.sharded
    with launched(sharded=sharded, device=running.device) as group:
        run = partial(
            train,
            recipe,
            out,
            resume=running.resume,
            until=running.until,
            export=running.export,
            device=running.device,
            tensorboard=running.tensorboard,
            group=group,
        )
        if not group.leads:
            run()
            return
        if recipe.bfloat16 and (warning := slowness(gain_of(running.device))):
            typer.echo(f"canvaslm: {warning}", err=True)
        try:
            show(recipe, out, run, running)
        except KeyboardInterrupt:
            tell_stopped(out)
            raise


def show(recipe: Recipe, out: Path, run: Callable[..., Path], running: Running) -> None:
    from rich.progress import MofNCompleteColumn, TextColumn, TimeRemainingColumn

    from canvaslm.cli.progress import bar
    from canvaslm.training.plot import can_plot, plot_losses
    from canvaslm.training.state import saved_step

    columns = (MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[state]}"))
    with bar(*columns) as progress:
        shown = Shown(progress, progress.add_task("training", total=recipe.steps, state=""))
        if not progress.disable:
            shown.peak = peak_of(recipe, running.device)
        folder = run(report=shown)
    if can_plot() and (out / "log.jsonl").exists():
        plot_losses(out)
    elif not can_plot():
        typer.echo("no loss plot: matplotlib is not installed", err=True)
    if folder == out or (running.export and (saved_step(out) or 0) < recipe.steps):
        tell_stopped(out)
    if folder != out:
        typer.echo(folder)


def gain_of(device: str) -> float:
    from canvaslm.engine.device import choose_device
    from canvaslm.training.speed import bfloat16_gain

    return bfloat16_gain(choose_device(device)[0])


def slowness(gain: float) -> str | None:
    """What to say where bfloat16 costs time instead of saving it."""
    if gain >= SLOW:
        return None
    return (
        f"products in bfloat16 take {1 / gain:.0f} times as long as in float32 here: leave "
        "--bfloat16 out, say --float32 to `train sudoku`, or set bfloat16=False in your recipe"
    )


def tell_stopped(out: Path) -> None:
    """Say of a run that is not at its end what is kept."""
    from canvaslm.training.state import saved_step

    step = saved_step(out)
    kept = "nothing was saved yet"
    if step is not None:
        kept = f"{out} holds its state after {step} steps; --resume goes on from there"
    typer.echo(f"canvaslm: stopped: {kept}", err=True)


def peak_of(recipe: Recipe, device: str) -> float:
    from canvaslm.engine.device import choose_device
    from canvaslm.training.speed import peak

    return peak(choose_device(device)[0], bfloat16=recipe.bfloat16)


class Shown:
    """The line beside the bar: loss, share of tokens right, tokens and operations a second."""

    def __init__(self, progress: Progress, row: TaskID) -> None:
        self.progress, self.row, self.peak = progress, row, 0.0

    def __call__(self, record: Record) -> None:
        self.progress.update(self.row, completed=record["step"] + 1, state=self.line(record))

    def line(self, record: Record) -> str:
        done, held = record["operations_per_second"] / 1e9, record.get("held_out/loss")
        parts = [
            f"loss {record['loss']:.3f}",
            *([] if held is None else [f"held out {held:.3f}"]),
            right(record),
            f"{record['tokens_per_second']:,.0f} tok/s",
            f"{done:,.0f}/{self.peak / 1e9:,.0f} GFLOP/s" if self.peak else f"{done:,.0f} GFLOP/s",
        ]
        return ", ".join(parts)


def right(record: Record) -> str:
    """How many canvas tokens of each task were predicted right in this step."""
    suffix = "/accuracy"
    shares = {k.removesuffix(suffix): v for k, v in record.items() if k.endswith(suffix)}
    if len(shares) == 1:
        return f"{next(iter(shares.values())):.0%} right"
    return ", ".join(f"{task} {share:.0%}" for task, share in shares.items())
