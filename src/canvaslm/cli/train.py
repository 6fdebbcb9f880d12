"""`canvaslm train`: train a model by recipe, or go on with a run that was interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from canvaslm.training.recipe import Recipe
    from canvaslm.training.trainer import Record


class Recipes(TyperGroup):
    """Commands by name; a Python file is the recipe that it defines."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0].endswith(".py"):
            return "FILE.py", self.get_command(ctx, "FILE.py"), args
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Recipes,
    no_args_is_help=True,
    help="Train a model by recipe: one with a name, or a Python file that defines `recipe`.",
)

Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run that is in the folder.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")]
Bfloat16 = Annotated[bool, typer.Option("--bfloat16", help="Matrix products in bfloat16.")]
TensorBoard = Annotated[
    bool, typer.Option("--tensorboard", help="Also log to the folder for TensorBoard.")
]


@app.command()
def pocket(
    out: Annotated[Path, typer.Option(help="The folder of the run.")] = Path("runs/pocket"),
    size: Annotated[int, typer.Option(help="Hidden width; the rest follows.")] = 128,
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 12_000,
    seed: Annotated[int, typer.Option(help="Of weights and data.")] = 0,
    bfloat16: Bfloat16 = False,
    resume: Resume = False,
    device: Device = "cpu",
    tensorboard: TensorBoard = False,
) -> None:
    """The embedded model, from scratch; Ctrl-C saves, and --resume goes on from there."""
    from canvaslm.training.recipe import pocket as recipe

    chosen = recipe(size=size, steps=steps, seed=seed, bfloat16=bfloat16)
    _train(chosen, out, resume=resume, device=device, tensorboard=tensorboard)


@app.command("FILE.py")
def of_file(
    file: Annotated[Path, typer.Argument(help="It defines `recipe`.", metavar="FILE.py")],
    out: Annotated[
        Path | None,
        typer.Option(help="The folder of the run; runs/NAME by default.", show_default=False),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Start from this checkpoint instead.", show_default=False),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Instead of the recipe's.", show_default=False)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Instead of the recipe's.", show_default=False)
    ] = None,
    bfloat16: Bfloat16 = False,
    resume: Resume = False,
    device: Device = "cpu",
    tensorboard: TensorBoard = False,
) -> None:
    """A recipe of your own, on your own data; Ctrl-C saves, and --resume goes on from there."""
    from dataclasses import replace

    from canvaslm.training.from_file import read_recipe
    from canvaslm.training.start import Base

    chosen = read_recipe(file)
    changes: dict[str, Any] = {"steps": steps, "seed": seed, "bfloat16": bfloat16 or None}
    changes["start"] = None if model is None else Base(model)
    chosen = replace(chosen, **{key: v for key, v in changes.items() if v is not None})
    place = out or Path("runs") / chosen.name
    _train(chosen, place, resume=resume, device=device, tensorboard=tensorboard)


def _train(recipe: Recipe, out: Path, *, resume: bool, device: str, tensorboard: bool) -> None:
    """Run it under a progress bar, and draw its losses at the end."""
    from rich.progress import MofNCompleteColumn, TextColumn, TimeRemainingColumn

    from canvaslm.cli.progress import bar
    from canvaslm.training.loop import train
    from canvaslm.training.plot import can_plot, plot_losses

    columns = (MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[state]}"))
    with bar(*columns) as progress:
        show = _Shown(progress, progress.add_task("training", total=recipe.steps, state=""))
        if not progress.disable:
            show.peak = _peak(recipe, device)
        folder = train(
            recipe, out, resume=resume, device=device, report=show, tensorboard=tensorboard
        )
    if can_plot() and (out / "log.jsonl").exists():
        plot_losses(out)
    elif not can_plot():
        typer.echo("no loss plot: matplotlib is not installed", err=True)
    typer.echo(folder)


def _peak(recipe: Recipe, device: str) -> float:
    from canvaslm.engine.device import choose_device
    from canvaslm.training.speed import peak

    return peak(choose_device(device)[0], bfloat16=recipe.bfloat16)


class _Shown:
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
            _right(record),
            f"{record['tokens_per_second']:,.0f} tok/s",
            f"{done:,.0f}/{self.peak / 1e9:,.0f} GFLOP/s" if self.peak else f"{done:,.0f} GFLOP/s",
        ]
        return ", ".join(parts)


def _right(record: Record) -> str:
    """How many canvas tokens of each task were predicted right in this step."""
    suffix = "/accuracy"
    shares = {k.removesuffix(suffix): v for k, v in record.items() if k.endswith(suffix)}
    if len(shares) == 1:
        return f"{next(iter(shares.values())):.0%} right"
    return ", ".join(f"{task} {share:.0%}" for task, share in shares.items())
