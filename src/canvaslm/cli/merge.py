"""`canvaslm merge`: a checkpoint folder with a low-rank adapter in its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from canvaslm.cli import options, output


def merge(
    base: Annotated[
        str, typer.Argument(help="The checkpoint folder or hub id.", show_default=False)
    ],
    adapter: Annotated[
        Path, typer.Argument(help="The folder of the PEFT adapter.", show_default=False)
    ],
    out: Annotated[Path, typer.Argument(help="The folder to write.", show_default=False)],
    sides: Annotated[
        Literal["both", "encoder", "decoder"],
        typer.Option(help="Which of PEFT's two adapters on tied weights to take, if they differ."),
    ] = "both",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a checkpoint that is there already.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Write a checkpoint with a LoRA adapter merged into its weights, in their own type.

    Memory holds one matrix at a time; the folder appears whole or not at all.
    """
    from rich.progress import DownloadColumn, TimeRemainingColumn

    from canvaslm.adapter.files import read_adapter
    from canvaslm.adapter.mark import warn_of_another_base
    from canvaslm.adapter.merge import merge_folder
    from canvaslm.checkpoint.folder import open_checkpoint
    from canvaslm.cli.progress import bar

    source = open_checkpoint(base)
    found = read_adapter(adapter, sides=sides)
    warn_of_another_base(found, source)
    with bar(DownloadColumn(), TimeRemainingColumn()) as progress:
        task = progress.add_task("merging", total=None)
        folder = merge_folder(
            source,
            found,
            out,
            overwrite=overwrite,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    if as_json:
        output.write_json(
            {
                "path": str(folder),
                "rank": found.config.rank,
                "scale": found.config.scale,
                "targets": list(found.config.targets),
                "matrices": len(found.pairs),
            }
        )
    else:
        typer.echo(f"{folder}: {len(found.pairs)} matrices with rank {found.config.rank}")
