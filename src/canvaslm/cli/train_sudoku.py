"""`canvaslm train sudoku`: a model of its own that solves grids."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from canvaslm.cli import train_options
from canvaslm.cli.train_run import carry_out


def sudoku(
    *,
    out: Annotated[Path, typer.Option(help="The folder of the run.")] = Path("runs/sudoku"),
    size: Annotated[int, typer.Option(help="Hidden width, a multiple of 32.")] = 128,
    layers: Annotated[int, typer.Option(help="A multiple of 3.")] = 6,
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 60_000,
    own: Annotated[
        float, typer.Option(help="Share of canvases noised over the model's own output.")
    ] = 0.2,
    pinned: Annotated[
        float,
        typer.Option(
            help="Share of the canvases of puzzles in the prompt that show the clues, too."
        ),
    ] = 0.5,
    left_to_right: Annotated[
        bool, typer.Option("--left-to-right", help="The rival: the causal loss alone.")
    ] = False,
    file: Annotated[
        Path | None,
        typer.Option(help="Learn from these puzzles; see `eval sudoku`.", show_default=False),
    ] = None,
    grown: Annotated[
        Path | None,
        typer.Option(
            help="Begin with the weights of a run of fewer layers, in this folder.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights and data.")] = 0,
    bfloat16: Annotated[
        bool, typer.Option("--bfloat16/--float32", help="Of the matrix products.")
    ] = True,
    running: train_options.Running,
) -> None:
    """A Sudoku model of at most 7M parameters; Ctrl-C saves, and --resume goes on from there."""
    from canvaslm.training.sudoku import sudoku as recipe

    chosen = recipe(
        size=size,
        layers=layers,
        steps=steps,
        seed=seed,
        bfloat16=bfloat16,
        own=own,
        pinned=pinned,
        left_to_right=left_to_right,
        file=None if file is None else str(file),
        grown=None if grown is None else str(grown),
    )
    carry_out(chosen, out, running)
