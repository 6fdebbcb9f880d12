"""`canvaslm train`: train a model by recipe, or go on with a run that was interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from canvaslm.training.trainer import Record

app = typer.Typer(no_args_is_help=True, help="Train a model by recipe.")


@app.callback()
def _root() -> None:
    """Without this, typer would make the only recipe the command itself."""


@app.command()
def pocket(
    out: Annotated[Path, typer.Option(help="The folder of the run.")] = Path("runs/pocket"),
    size: Annotated[int, typer.Option(help="Hidden width; the rest follows.")] = 128,
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 12_000,
    seed: Annotated[int, typer.Option(help="Of weights and data.")] = 0,
    bfloat16: Annotated[
        bool, typer.Option("--bfloat16", help="Matrix products in bfloat16.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run that is in the folder.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")] = "cpu",
) -> None:
    """The embedded model, from scratch; Ctrl-C saves, and --resume goes on from there."""
    from rich.progress import MofNCompleteColumn, TextColumn, TimeRemainingColumn

    from canvaslm.cli.progress import bar
    from canvaslm.training.loop import train
    from canvaslm.training.recipe import pocket as recipe

    chosen = recipe(size=size, steps=steps, seed=seed, bfloat16=bfloat16)
    columns = (MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[state]}"))
    with bar(*columns) as progress:
        row = progress.add_task("training", total=steps, state="")

        def report(record: Record) -> None:
            progress.update(row, completed=record["step"] + 1, state=_state(record))

        folder = train(chosen, out, resume=resume, device=device, report=report)
    typer.echo(folder)


def _state(record: Record) -> str:
    """How many canvas tokens of each task were predicted right in this step."""
    suffix = "/accuracy"
    shares = {k.removesuffix(suffix): v for k, v in record.items() if k.endswith(suffix)}
    return ", ".join(f"{task} {share:.0%}" for task, share in shares.items())
