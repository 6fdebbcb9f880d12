"""`canvaslm new`: a checkpoint folder with random weights, to experiment on."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def new(
    out: Annotated[Path, typer.Argument(help="The folder to write.", show_default=False)],
    preset: Annotated[str, typer.Option(help="pocket, 2b, 7b or 26b-a4b.")] = "pocket",
    layers: Annotated[
        int | None, typer.Option(help="Keep this many layers.", show_default=False)
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(help="Widths and heads times this, 0 to 1.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the weights.")] = 0,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"], typer.Option(help="Of the weights.")
    ] = "bfloat16",
    quant: Annotated[
        Literal["int4", "int8", "mxfp4"] | None,
        typer.Option(help="Weights made up in few bits, of any size.", show_default="none"),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="Copy the tokenizer of this folder.", show_default="none"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a checkpoint that is there already.")
    ] = False,
) -> None:
    """Write a randomly initialised checkpoint in the released layout.

    Without --tokenizer it has none: a model made so is used with token ids. With --quant it is laid
    out as `canvaslm quantize` does, and its weights are drawn so that activations and logits are
    about as large as those of a trained model: for measuring speed at full size.
    """
    import torch
    from rich.progress import DownloadColumn

    from canvaslm.cli.progress import bar
    from canvaslm.engine.create import new_checkpoint, tokenizer_files
    from canvaslm.model import presets

    config = presets.reduced(presets.preset(preset), layers=layers, scale=scale)
    with bar(DownloadColumn()) as progress:
        task = progress.add_task("writing", total=None)
        folder = new_checkpoint(
            config,
            out,
            seed=seed,
            dtype=getattr(torch, dtype),
            extra_files=None if tokenizer is None else tokenizer_files(tokenizer, config),
            quant=quant,
            overwrite=overwrite,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    kind = dtype if quant is None else quant
    typer.echo(f"{folder}: {presets.parameter_count(config):,} parameters, {kind}")
