"""`canvaslm train`: train a model by recipe, or go on with a run that was interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from canvaslm.cli import train_sudoku
from canvaslm.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress, TaskID

    from canvaslm.training.recipe import Recipe
    from canvaslm.training.start import Start
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
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Start from this checkpoint instead.", show_default=False),
]
Lora = Annotated[
    int | None,
    typer.Option(
        metavar="RANK",
        help="Learn an adapter (LoRA) of this rank; the base stays as it is.",
        show_default=False,
    ),
]
Alpha = Annotated[float | None, typer.Option(help="Of --lora.", show_default="twice the rank")]
Target = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        help="What --lora bends, attention.q or another; may be repeated.",
        show_default="attention and dense MLPs",
    ),
]
Quant = Annotated[
    Literal["int4", "int8", "mxfp4"] | None,
    typer.Option(help="With --lora: round the base while it is read.", show_default="as it is"),
]
Sharded = Annotated[
    bool,
    typer.Option("--sharded", help="Under torchrun: each process holds its share of the weights."),
]
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
    model: Model = None,
    lora: Lora = None,
    alpha: Alpha = None,
    target: Target = None,
    quant: Quant = None,
    resume: Resume = False,
    device: Device = "cpu",
    tensorboard: TensorBoard = False,
    sharded: Sharded = False,
) -> None:
    """The embedded model, from scratch; Ctrl-C saves, and --resume goes on from there."""
    from canvaslm.training.recipe import pocket as recipe

    chosen = recipe(size=size, steps=steps, seed=seed, bfloat16=bfloat16)
    chosen = starting(chosen, model=model, lora=lora, alpha=alpha, target=target, quant=quant)
    _train(chosen, out, resume=resume, device=device, tensorboard=tensorboard, sharded=sharded)


app.command("sudoku")(train_sudoku.sudoku)


@app.command("FILE.py")
def of_file(
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
    bfloat16: Bfloat16 = False,
    model: Model = None,
    lora: Lora = None,
    alpha: Alpha = None,
    target: Target = None,
    quant: Quant = None,
    resume: Resume = False,
    device: Device = "cpu",
    tensorboard: TensorBoard = False,
    sharded: Sharded = False,
) -> None:
    """A recipe of your own, on your own data; Ctrl-C saves, and --resume goes on from there."""
    from dataclasses import replace

    from canvaslm.training.from_file import read_recipe

    chosen = read_recipe(file)
    changes: dict[str, Any] = {"steps": steps, "seed": seed, "bfloat16": bfloat16 or None}
    chosen = replace(chosen, **{key: v for key, v in changes.items() if v is not None})
    chosen = starting(chosen, model=model, lora=lora, alpha=alpha, target=target, quant=quant)
    place = out or Path("runs") / chosen.name
    _train(chosen, place, resume=resume, device=device, tensorboard=tensorboard, sharded=sharded)


def starting(
    recipe: Recipe,
    *,
    model: str | None,
    lora: int | None,
    alpha: float | None,
    target: list[str] | None,
    quant: str | None,
) -> Recipe:
    """The recipe from another checkpoint, and with an adapter as what learns.

    Raises ParameterError for options that go with --lora alone, and for an adapter on nothing.
    """
    from dataclasses import replace

    from canvaslm.adapter.config import DENSE
    from canvaslm.training.part import LowRank
    from canvaslm.training.rounded import Rounded

    alone = {"--alpha": alpha, "--target": target or None, "--quant": quant}
    if lora is None and (idle := [name for name, value in alone.items() if value is not None]):
        raise ParameterError(f"{', '.join(idle)} would have no effect: add --lora, the rank")
    base = model or recipe.start.base
    if lora is not None:
        if base is None:
            raise ParameterError("--lora needs a base that lasts: name it with --model")
        part: Any = LowRank(
            rank=lora,
            alpha=2.0 * lora if alpha is None else alpha,
            targets=tuple(target or DENSE),  # type: ignore[arg-type]  # it looks
        )
        recipe = replace(recipe, part=part)
    if quant is not None and base is not None:
        return replace(recipe, start=Rounded(base, quant=quant))
    return recipe if model is None else replace(recipe, start=from_checkpoint(model, lora))


def from_checkpoint(model: str, lora: int | None) -> Start:
    """A quantised folder stays so under an adapter; nothing else can be done with it."""
    from canvaslm.checkpoint.folder import open_checkpoint
    from canvaslm.training.rounded import Rounded
    from canvaslm.training.start import Base

    return Rounded(model) if lora is not None and open_checkpoint(model).quantised else Base(model)


def _train(
    recipe: Recipe,
    out: Path,
    *,
    resume: bool,
    device: str,
    tensorboard: bool,
    sharded: bool = False,
) -> None:
    """Run it under a progress bar, and draw its losses at the end; of several processes only the
    leading one shows anything."""
    from functools import partial

    from canvaslm.training.launch import launched
    from canvaslm.training.loop import train

    with launched(sharded=sharded, device=device) as group:
        run = partial(
            train, recipe, out, resume=resume, device=device, tensorboard=tensorboard, group=group
        )
        if group.leads:
            _show(recipe, out, run, device=device)
        else:
            run()


def _show(recipe: Recipe, out: Path, run: Callable[..., Path], *, device: str) -> None:
    from rich.progress import MofNCompleteColumn, TextColumn, TimeRemainingColumn

    from canvaslm.cli.progress import bar
    from canvaslm.training.plot import can_plot, plot_losses

    columns = (MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[state]}"))
    with bar(*columns) as progress:
        show = _Shown(progress, progress.add_task("training", total=recipe.steps, state=""))
        if not progress.disable:
            show.peak = _peak(recipe, device)
        folder = run(report=show)
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
