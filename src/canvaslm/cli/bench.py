"""`canvaslm bench`: what a pass of a model costs here, each number beside its ceiling."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from canvaslm.cli import options, output
from canvaslm.errors import ParameterError

if TYPE_CHECKING:
    from canvaslm import LM
    from canvaslm.kernels.cpu.peaks import Peaks
    from canvaslm.measure.passes import Setting


def bench(
    what: Annotated[
        Literal["step", "prefill", "commit", "token", "generate"],
        typer.Argument(
            help="A denoising step; reading a prompt; appending a canvas to its prefix; one token "
            "from left to right; whole answers.",
            show_default=False,
        ),
    ],
    model: Annotated[
        str | None, typer.Argument(help="Folder or hub id; without it, the embedded model.")
    ] = None,
    prefix: Annotated[int, typer.Option(min=0, help="Tokens before what is measured.")] = 1024,
    canvas: Annotated[
        int | None, typer.Option(min=1, help="Tokens of a canvas.", show_default="the model's")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Canvases at once.")] = 1,
    fill: Annotated[
        Literal["auto", "encode", "random"],
        typer.Option(help="What the prefix is made of: encoded ids, or, beyond 2048, random K/V."),
    ] = "auto",
    mode: Annotated[
        Literal["diffusion", "ar"] | None,
        typer.Option(help="How `generate` answers.", show_default="diffusion"),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Of an answer.", show_default="one canvas")
    ] = None,
    max_steps: Annotated[
        int | None, typer.Option(min=1, help="Of a canvas.", show_default="the model's")
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, help="Passes that count.")] = 5,
    warmup: Annotated[int, typer.Option(min=1, help="Passes before those.")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, show_default="all cores")] = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    quant: options.Quant = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Small probes for the machine's peaks: less exact.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Measure a pass: seconds, memory, the share of each part, beside this machine's peaks."""
    import torch

    from canvaslm.eval.machine import core_count
    from canvaslm.measure.ceilings import measure_ceilings
    from canvaslm.measure.passes import Setting

    _check(what, canvas=canvas, batch=batch, mode=mode, tokens=max_tokens, steps=max_steps)
    torch.set_num_threads(threads or core_count())
    lm = options.load(model, device=device, dtype=dtype, quant=quant)
    setting = Setting(
        prefix=max(prefix, 1) if what in ("prefill", "generate") else prefix,
        canvas=1 if what in ("prefill", "token") else canvas or lm.config.canvas_length,
        rows=batch,
        repeat=repeat,
        warmup=warmup,
        fill=fill,
    )
    probe = partial(measure_ceilings, quick=quick)
    if what == "generate":
        from canvaslm.measure.bench import measure_answers

        document = measure_answers(
            lm,
            setting,
            probe=probe,
            mode=mode or "diffusion",
            tokens=max_tokens or lm.config.canvas_length,
            max_steps=max_steps,
        )
    else:
        document = _measure(lm, what, setting, probe)
    _show({"model": model or "embedded"} | document, as_json=as_json)


def _check(
    what: str,
    *,
    canvas: int | None,
    batch: int,
    mode: str | None,
    tokens: int | None,
    steps: int | None,
) -> None:
    """Raises ParameterError for an option that `what` has no use for."""
    answers, canvases = ("generate",), ("step", "commit")
    uses = {
        "--canvas": (canvas is not None, canvases),
        "--batch": (batch > 1, (*canvases, "token")),
        "--mode": (mode is not None, answers),
        "--max-tokens": (tokens is not None, answers),
        "--max-steps": (steps is not None, answers),
    }
    for option, (given, users) in uses.items():
        if given and what not in users:
            raise ParameterError(
                f"{option} would have no effect on {what!r}, only on {' and '.join(users)}: leave "
                "it out"
            )
    if mode == "ar" and steps is not None:
        raise ParameterError("--max-steps would have no effect with --mode ar: leave it out")


def _measure(
    lm: LM,
    what: Literal["step", "prefill", "commit", "token"],
    setting: Setting,
    probe: Callable[[], Peaks],
) -> dict[str, Any]:
    from rich.progress import MofNCompleteColumn

    from canvaslm.cli.progress import bar
    from canvaslm.measure.bench import measure

    with bar(MofNCompleteColumn()) as progress:
        row = progress.add_task(what, total=None)
        return measure(
            lm,
            what,
            setting,
            probe=probe,
            watch=lambda done, total: progress.update(row, completed=done, total=total),
        )


def _show(document: dict[str, Any], *, as_json: bool) -> None:
    """Tables, or one document after them; then the tables go to stderr."""
    from canvaslm.cli.bench_table import write_tables

    write_tables(document, to_stderr=as_json)
    if as_json:
        output.write_json(document)
