"""Options of training that recipes share: where a run starts from, and how it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from canvaslm.errors import ParameterError

if TYPE_CHECKING:
    from canvaslm.training.recipe import Recipe
    from canvaslm.training.start import Start

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
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run that is in the folder.")]
Until = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Stop and save after so many steps; the schedule stays that of all.",
        show_default=False,
    ),
]
Export = Annotated[
    bool,
    typer.Option("--export", help="With --until: write the model as if that were the end."),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")]
TensorBoard = Annotated[
    bool, typer.Option("--tensorboard", help="Also log to the folder for TensorBoard.")
]
Sharded = Annotated[
    bool,
    typer.Option("--sharded", help="Under torchrun: each process holds its share of the weights."),
]


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """Another checkpoint than the recipe's, and an adapter as what learns.

    Raises ParameterError for options that go with --lora alone.
    """

    model: Model = None
    lora: Lora = None
    alpha: Alpha = None
    target: Target = None
    quant: Quant = None

    def __post_init__(self) -> None:
        alone = {"--alpha": self.alpha, "--target": self.target or None, "--quant": self.quant}
        idle = [name for name, value in alone.items() if value is not None]
        if self.lora is None and idle:
            raise ParameterError(f"{', '.join(idle)} would have no effect: add --lora, the rank")

    def of(self, recipe: Recipe) -> Recipe:
        """The recipe, begun so. Raises ParameterError for an adapter on nothing."""
        from dataclasses import replace

        from canvaslm.training.rounded import Rounded
        from canvaslm.training.start import Base

        base = self.model or recipe.start.base
        if self.lora is not None:
            if base is None:
                raise ParameterError("--lora needs a base that lasts: name it with --model")
            recipe = replace(recipe, part=self.part(self.lora))
        if self.quant is not None and base is not None:
            return replace(recipe, start=Rounded(base, quant=self.quant))
        if self.model is None:
            return recipe
        if self.lora is None and isinstance(recipe.start, Base):
            return replace(recipe, start=replace(recipe.start, model=self.model))
        return replace(recipe, start=self.checkpoint(self.model))

    def part(self, rank: int) -> Any:
        from canvaslm.adapter.config import DENSE
        from canvaslm.training.part import LowRank

        return LowRank(
            rank=rank,
            alpha=2.0 * rank if self.alpha is None else self.alpha,
            targets=tuple(self.target or DENSE),  # type: ignore[arg-type]  # it looks
        )

    def checkpoint(self, model: str) -> Start:
        """A quantised folder stays so under an adapter; nothing else can be done with it."""
        from canvaslm.checkpoint.folder import open_checkpoint
        from canvaslm.training.rounded import Rounded
        from canvaslm.training.start import Base

        quantised = self.lora is not None and open_checkpoint(model).quantised
        return Rounded(model) if quantised else Base(model)


@dataclass(frozen=True, kw_only=True)
class Running:
    """How a run goes, which changes nothing of what it comes to.

    Raises ParameterError for --export without --until.
    """

    resume: Resume = False
    until: Until = None
    export: Export = False
    device: Device = "cpu"
    tensorboard: TensorBoard = False

    def __post_init__(self) -> None:
        if self.export and self.until is None:
            raise ParameterError("--export would have no effect: add --until, the steps")


@dataclass(frozen=True, kw_only=True)
class Sharing(Running):
    """Of several processes, too."""

    sharded: Sharded = False
