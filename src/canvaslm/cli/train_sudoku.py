"""`canvaslm train sudoku`: a model of its own that solves grids."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def sudoku(
    out: Annotated[Path, typer.Option(help="The folder of the run.")] = Path("runs/sudoku"),
    size: Annotated[int, typer.Option(help="Hidden width, a multiple of 64.")] = 192,
    layers: Annotated[int, typer.Option(help="A multiple of 3.")] = 6,
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 20_000,
    puzzles: Annotated[int, typer.Option(help="Of each step, two canvases each.")] = 64,
    accumulate: Annotated[int, typer.Option(help="Parts that a step is computed in.")] = 1,
    own: Annotated[
        float, typer.Option(help="Share of canvases noised over the model's own output.")
    ] = 0.2,
    pinned: Annotated[float, typer.Option(help="Share of canvases that show the clues.")] = 0.5,
    left_to_right: Annotated[
        bool, typer.Option("--left-to-right", help="The rival: the causal loss alone.")
    ] = False,
    file: Annotated[
        Path | None,
        typer.Option(help="Learn from these puzzles; see `eval sudoku`.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights and data.")] = 0,
    bfloat16: Annotated[
        bool, typer.Option("--bfloat16", help="Matrix products in bfloat16.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run that is in the folder.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")] = "cpu",
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also log to the folder for TensorBoard.")
    ] = False,
) -> None:
    """A Sudoku model of at most 7M parameters; Ctrl-C saves, and --resume goes on from there."""
    from canvaslm.cli.train import _train
    from canvaslm.training.sudoku import sudoku as recipe

    chosen = recipe(
        size=size,
        layers=layers,
        steps=steps,
        seed=seed,
        bfloat16=bfloat16,
        documents=puzzles,
        accumulate=accumulate,
        own=own,
        pinned=pinned,
        left_to_right=left_to_right,
        file=None if file is None else str(file),
    )
    _train(chosen, out, resume=resume, device=device, tensorboard=tensorboard)
