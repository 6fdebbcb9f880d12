"""Options that several subcommands share, and the loading they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from canvaslm import LM

Mode = Annotated[
    Literal["diffusion", "ar"],
    typer.Option(help="Whole canvases at once, or the same weights left to right."),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="A checkpoint folder or a hub id; without it, the embedded model.",
        show_default=False,
    ),
]
Adapter = Annotated[
    Path | None,
    typer.Option(
        "--adapter",
        metavar="FOLDER",
        help="A PEFT adapter (LoRA) to put on the model.",
        show_default=False,
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16, float16 or float64.")]
Quant = Annotated[
    Literal["int4", "int8", "mxfp4"] | None,
    typer.Option(help="Round float weights while loading.", show_default="as they are"),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, last.")]
Seed = Annotated[
    int | None,
    typer.Option(help="The same seed gives the same text.", show_default="drawn, and reported"),
]


def load(
    model: str | None,
    *,
    device: str,
    dtype: str,
    quant: str | None = None,
    adapter: Path | None = None,
) -> LM:
    """The model that the options name. Raises what `canvaslm.load` does."""
    import canvaslm

    extra: dict[str, Any] = {"quant": quant, "adapter": adapter}
    given = {name: value for name, value in extra.items() if value is not None}
    return canvaslm.load(model, device=device, dtype=dtype, **given)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A model, and how it is loaded."""

    model: Model = None
    adapter: Adapter = None
    device: Device = "auto"
    dtype: Dtype = "auto"

    def load(self) -> LM:
        """Raises what `canvaslm.load` does."""
        return load(self.model, device=self.device, dtype=self.dtype, adapter=self.adapter)

    def measured(self, lm: LM) -> dict[str, str]:
        """What an evaluation measured, and where."""
        from canvaslm.cli import output

        return output.measured(lm, self.model, adapter=self.adapter)
