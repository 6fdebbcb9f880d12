"""`canvaslm train`: train a model by recipe, or go on with a run that was interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from canvaslm.cli import train_fewer, train_learnt, train_options, train_plan, train_sudoku
from canvaslm.cli.groups import grouped
from canvaslm.cli.train_run import carry_out
from canvaslm.tasks import LEARNT


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


@app.command()
@grouped
def pocket(
    *,
    out: Annotated[Path, typer.Option(help="The folder of the run.")] = Path("runs/pocket"),
    size: Annotated[int, typer.Option(help="Hidden width; the rest follows.")] = 128,
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 12_000,
    seed: Annotated[int, typer.Option(help="Of weights and data.")] = 0,
    bfloat16: train_options.Bfloat16 = False,
    beginning: train_options.Beginning,
    running: train_options.Sharing,
) -> None:
    """The embedded model, from scratch; Ctrl-C saves, and --resume goes on from there."""
    from canvaslm.training.recipe import pocket as recipe

    chosen = recipe(size=size, steps=steps, seed=seed, bfloat16=bfloat16)
    carry_out(beginning.of(chosen), out, running)


app.command("plan")(grouped(train_plan.plan))
app.command("fewer")(grouped(train_fewer.fewer))
app.command("sudoku")(grouped(train_sudoku.sudoku))
for _task in LEARNT:
    app.command(_task)(grouped(train_learnt.teaching(_task)))


@app.command("FILE.py")
@grouped
def of_file(
    *,
    file: Annotated[Path, typer.Argument(help="It defines `recipe`.", metavar="FILE.py")],
    out: Annotated[
        Path | None,
        typer.Option(help="The folder of the run; runs/NAME by default.", show_default=False),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Instead of the recipe's.", show_default=False)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Instead of the recipe's.", show_default=False)
    ] = None,
    bfloat16: train_options.Bfloat16 = False,
    beginning: train_options.Beginning,
    running: train_options.Sharing,
) -> None:
    """A recipe of your own, on your own data; Ctrl-C saves, and --resume goes on from there."""
    from dataclasses import replace

    from canvaslm.training.from_file import read_recipe

    chosen = read_recipe(file)
    changes: dict[str, Any] = {"steps": steps, "seed": seed, "bfloat16": bfloat16 or None}
    chosen = replace(chosen, **{key: v for key, v in changes.items() if v is not None})
    carry_out(beginning.of(chosen), out or Path("runs") / chosen.name, running)
