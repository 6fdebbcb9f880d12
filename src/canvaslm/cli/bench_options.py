"""Options of `canvaslm bench`: what is measured, how often, and on which model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from canvaslm.cli import options
from canvaslm.errors import ParameterError

if TYPE_CHECKING:
    from canvaslm import LM
    from canvaslm.measure.passes import Setting

What = Literal["step", "prefill", "commit", "token", "generate"]
ANSWERS, CANVASES = ("generate",), ("step", "commit")


@dataclass(frozen=True, kw_only=True)
class Work:
    """What stands in a pass."""

    prefix: Annotated[int, typer.Option(min=0, help="Tokens before what is measured.")] = 1024
    canvas: Annotated[
        int | None, typer.Option(min=1, help="Tokens of a canvas.", show_default="the model's")
    ] = None
    batch: Annotated[int, typer.Option(min=1, help="Canvases at once.")] = 1
    fill: Annotated[
        Literal["auto", "encode", "random"],
        typer.Option(help="What the prefix is made of: encoded ids, or, beyond 2048, random K/V."),
    ] = "auto"

    def check(self, what: What) -> None:
        """Raises ParameterError for an option that `what` has no use for."""
        refuse("--canvas", what, given=self.canvas is not None, users=CANVASES)
        refuse("--batch", what, given=self.batch > 1, users=(*CANVASES, "token"))


@dataclass(frozen=True, kw_only=True)
class Answering:
    """Whole answers, where those are measured."""

    mode: Annotated[
        Literal["diffusion", "ar"] | None,
        typer.Option(help="How `generate` answers.", show_default="diffusion"),
    ] = None
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Of an answer.", show_default="one canvas")
    ] = None
    max_steps: Annotated[
        int | None, typer.Option(min=1, help="Of a canvas.", show_default="the model's")
    ] = None

    def check(self, what: What) -> None:
        """Raises ParameterError for an option that `what` has no use for."""
        for name, value in vars(self).items():
            option = f"--{name.replace('_', '-')}"
            refuse(option, what, given=value is not None, users=ANSWERS)
        if self.mode == "ar" and self.max_steps is not None:
            raise ParameterError("--max-steps would have no effect with --mode ar: leave it out")


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How often it is measured, and on how many cores."""

    repeat: Annotated[int, typer.Option(min=1, help="Passes that count.")] = 5
    warmup: Annotated[int, typer.Option(min=1, help="Passes before those.")] = 1
    threads: Annotated[int | None, typer.Option(min=1, show_default="all cores")] = None


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How the model is loaded."""

    device: options.Device = "auto"
    dtype: options.Dtype = "auto"
    quant: options.Quant = None

    def load(self, model: str | None) -> LM:
        """Raises what `canvaslm.load` does."""
        return options.load(model, device=self.device, dtype=self.dtype, quant=self.quant)


def refuse(option: str, what: What, *, given: bool, users: tuple[str, ...]) -> None:
    """Raises ParameterError for an option that was given and that only `users` have a use for."""
    if given and what not in users:
        raise ParameterError(
            f"{option} would have no effect on {what!r}, only on {' and '.join(users)}: leave it "
            "out"
        )


def setting_of(what: What, work: Work, timing: Timing, *, usual_canvas: int) -> Setting:
    """What is measured; a prompt and a token have no canvas."""
    from canvaslm.measure.passes import Setting

    return Setting(
        prefix=max(work.prefix, 1) if what in ("prefill", "generate") else work.prefix,
        canvas=1 if what in ("prefill", "token") else work.canvas or usual_canvas,
        rows=work.batch,
        repeat=timing.repeat,
        warmup=timing.warmup,
        fill=work.fill,
    )
