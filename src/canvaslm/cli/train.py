"""`canvaslm train`: train a model by recipe, or go on with a run that was interrupted."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Train a model by recipe.")


@app.callback()
def _root() -> None:
    """Without this, typer would make the only recipe the command itself."""


@app.command()
def pocket(
    out: Annotated[Path, typer.Option(help="The folder of the run.")] = Path("runs/pocket"),
    size: Annotated[int, typer.Option(help="Hidden width; the rest follows.")] = 128,
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 6000,
    seed: Annotated[int, typer.Option(help="Of weights and data.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run that is in the folder.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")] = "cpu",
) -> None:
    """The embedded model, from scratch."""
    from canvaslm.training.loop import train
    from canvaslm.training.recipe import pocket as recipe

    train(recipe(size=size, steps=steps, seed=seed), out, resume=resume, device=device)
