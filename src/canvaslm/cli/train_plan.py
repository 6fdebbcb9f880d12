"""`canvaslm train plan`: the memory that a training run takes, before any of it is taken."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from canvaslm.cli import options, output, train_options
from canvaslm.errors import ParameterError

if TYPE_CHECKING:
    from canvaslm.training.plan import Work
    from canvaslm.training.rehearse import Sizes

Type = Literal["float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class Learning:
    """What learns, on what, and by what."""

    lora: train_options.Lora = None
    target: train_options.Target = None
    quant: train_options.Quant = None
    dtype: Annotated[
        Type | None,
        typer.Option(
            help="Of what a rounded base keeps in floating point.",
            show_default="bfloat16, or the recipe's",
        ),
    ] = None
    optimiser: Annotated[
        Literal["adamw", "muon", "adafactor"] | None,
        typer.Option(help="What learns by.", show_default="adamw, or the recipe's"),
    ] = None
    ema: Annotated[bool, typer.Option("--ema", help="Average the weights, too.")] = False
    bfloat16: train_options.Bfloat16 = False

    def changes(self, work: Work) -> dict[str, Any]:
        """What the options say beside the recipe, or the network alone."""
        from canvaslm.training.optimise.choose import Adafactor, AdamW, MuonAdamW

        kinds = {"adamw": AdamW, "muon": MuonAdamW, "adafactor": Adafactor}
        return {
            "optimise": work.optimise if self.optimiser is None else kinds[self.optimiser](),
            "average": work.average or self.ema,
            "bfloat16": work.bfloat16 or self.bfloat16,
        }


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What a micro-batch holds."""

    documents: Annotated[
        int | None, typer.Option(help="Of a micro-batch.", show_default="1, or the recipe's")
    ] = None
    noises: Annotated[
        int | None, typer.Option(help="Canvases of each.", show_default="1, or the recipe's")
    ] = None
    prompt: Annotated[int, typer.Option(help="Tokens before the canvas.")] = 256
    canvas: Annotated[
        int | None, typer.Option(help="Tokens of a canvas.", show_default="the model's")
    ] = None

    def of(self, sizes: Sizes) -> Sizes:
        """Raises ParameterError for a size below 1."""
        from dataclasses import replace

        given = {name: value for name, value in vars(self).items() if value is not None}
        for name, value in given.items():
            if value < 1:
                raise ParameterError(f"--{name} must be at least 1, got {value}")
        return replace(sizes, **given)


def plan(
    *,
    model: Annotated[
        str,
        typer.Argument(
            help="A preset, a checkpoint folder, a hub id, or a recipe: sudoku, fewer, star, motif "
            "or a FILE.py."
        ),
    ],
    learning: Learning,
    holding: Holding,
    card: Annotated[
        float | None,
        typer.Option(help="Gigabytes of the card, 10^9 bytes each.", show_default="what is free"),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Print what a training run needs of the memory: no weight is read, nothing is allocated.

    The step is gone through on tensors without numbers, with activations kept and with all that
    `recompute` computes again. Attention is counted as on a CPU, where it keeps its scores.
    """
    from dataclasses import replace

    from canvaslm.cli.train_plan_table import document, lines
    from canvaslm.training.plan import plan as planned

    room = room_of(card)
    work = work_of(model, learning)
    work = replace(work, sizes=holding.of(work.sizes), **learning.changes(work))
    plans = {
        "kept": planned(work, recompute=False),
        "computed again": planned(work, recompute=True),
    }
    if as_json:
        output.write_json(document(model, work, plans, room))
        return
    for line in lines(model, work, plans, room, given=card is not None):
        typer.echo(line)


def room_of(card: float | None) -> int:
    """Bytes, by default those that are free. Raises ParameterError for no size."""
    from canvaslm.engine.memory import available_memory

    if card is not None and not 0 < card < float("inf"):
        raise ParameterError(f"--card is a size in gigabytes, more than 0, got {card:g}")
    return available_memory() if card is None else round(card * 1e9)


def work_of(model: str, learning: Learning) -> Work:
    """What is planned, of a recipe or of a network alone."""
    from canvaslm.training.planned import named, of_network, of_recipe

    begun = train_options.Beginning(
        lora=learning.lora, target=learning.target, quant=learning.quant
    )
    if model.endswith(".py"):
        from canvaslm.training.from_file import read_recipe

        return of_recipe(begun.of(read_recipe(Path(model))), dtype=learning.dtype)
    if (recipe := named(model)) is not None:
        return of_recipe(begun.of(recipe), dtype=learning.dtype)
    part = None if learning.lora is None else begun.part(learning.lora)
    return of_network(model, quant=learning.quant, part=part, dtype=learning.dtype)
