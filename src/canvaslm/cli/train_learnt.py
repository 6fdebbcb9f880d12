"""`canvaslm train star` and `train motif`: adapters that teach the embedded model a new task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from canvaslm.cli import train_options
from canvaslm.cli.train_run import carry_out
from canvaslm.errors import ParameterError


def teaching(task: str) -> Callable[..., None]:
    """The command that teaches `task`."""

    def learnt(
        *,
        out: Annotated[
            Path | None,
            typer.Option(help="The folder of the run.", show_default="runs/TASK"),
        ] = None,
        steps: Annotated[
            int | None, typer.Option(help="Optimiser steps.", show_default="the recipe's")
        ] = None,
        rank: Annotated[int, typer.Option(help="Of the adapter.")] = 32,
        rehearse: Annotated[
            int,
            typer.Option(help="Rehearse an old task once in N steps, at least; 0: never."),
        ] = 2,
        seed: Annotated[int, typer.Option(help="Of weights and data.")] = 0,
        bfloat16: train_options.Bfloat16 = False,
        running: train_options.Sharing,
    ) -> None:
        from canvaslm.training.learnt import learnt as recipe

        if rehearse < 0:
            raise ParameterError(
                f"--rehearse counts steps, 0 for no old task: choose 0 or more, got {rehearse}"
            )
        chosen = recipe(
            task,
            steps=steps,
            rank=rank,
            rehearse=rehearse,
            seed=seed,
            bfloat16=bfloat16,
        )
        carry_out(chosen, out or Path("runs") / task, running)

    learnt.__doc__ = (
        f"An adapter that teaches the embedded model the task {task}, which it has not seen."
    )
    return learnt
