"""`canvaslm train fewer`: a model that takes fewer steps, taught by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from canvaslm.cli import train_options
from canvaslm.cli.train_run import carry_out
from canvaslm.errors import ParameterError

ANSWERS = "taught.jsonl"


def fewer(
    *,
    out: Annotated[Path, typer.Option(help="The folder of the run.")] = Path("runs/fewer"),
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="Teacher and start; the embedded one.", show_default=False
        ),
    ] = None,
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 3000,
    answers: Annotated[
        int, typer.Option(help="Questions about code that the teacher is asked first.")
    ] = 2000,
    certainty: Annotated[
        float, typer.Option(help="What doubt costs where the model is right.")
    ] = 0.5,
    passes: Annotated[
        int, typer.Option(help="Most steps of the sampler before a canvas is learnt from.")
    ] = 4,
    max_steps: Annotated[
        int, typer.Option(help="Most steps of a canvas that the student is exported with.")
    ] = 7,
    rate: Annotated[
        float, typer.Option(help="Learning rates, as a share of the first stage's.")
    ] = 0.3,
    seed: Annotated[int, typer.Option(help="Of data and walks.")] = 0,
    bfloat16: train_options.Bfloat16 = False,
    running: train_options.Running,
) -> None:
    """The second stage: states of the model's own sampler, and what they should have come to.

    The teacher's answers are kept in the run's folder. Ctrl-C saves; --resume goes on from there.
    """
    from canvaslm.training.distil.recipe import fewer as recipe
    from canvaslm.training.loop import check_folder

    if answers < 1:
        raise ParameterError(f"--answers must be at least 1, got {answers}")
    file = out / ANSWERS
    chosen = recipe(
        steps=steps,
        seed=seed,
        model=model,
        taught={"code": str(file)},
        certainty=certainty,
        passes=passes,
        max_steps=max_steps,
        rate=rate,
        bfloat16=bfloat16,
    )
    check_folder(out, resume=running.resume)  # before the teacher is asked, which takes long
    chosen.start.tokenizer(out, seed=seed)  # raises for a base that cannot learn, or is none
    ask_teacher(model, file, count=answers, seed=seed, device=running.device)
    carry_out(chosen, out, running)


def ask_teacher(model: str | None, file: Path, *, count: int, seed: int, device: str) -> None:
    """Have the answers that are missing written to `file`. Raises StorageError."""
    from rich.progress import MofNCompleteColumn, TextColumn, TimeRemainingColumn

    from canvaslm.cli.progress import bar
    from canvaslm.engine.loading import load
    from canvaslm.training.distil.taught import teach
    from canvaslm.training.files import storing

    with storing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    columns = (MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[kept]} kept"))
    with bar(*columns) as progress:
        row = progress.add_task("teacher", total=count, kept=0)

        def show(done: int, kept: int) -> None:
            progress.update(row, completed=done, kept=kept)

        lm = load(model, device=device)
        teach(lm, file, task="code", count=count, seed=seed, progress=show)
