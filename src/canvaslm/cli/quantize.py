"""`canvaslm quantize`: a checkpoint folder in fewer bits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from canvaslm.cli import options, output

if TYPE_CHECKING:
    from canvaslm.checkpoint.folder import Checkpoint
    from canvaslm.engine.quantised.report import Report
    from canvaslm.engine.quantised.rounder import Importance
    from canvaslm.quant.scheme import Scheme


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The bits of each kind of weight."""

    experts: Annotated[
        Literal["int4", "mxfp4", "int8", "keep"], typer.Option(help="Of the mixture of experts.")
    ] = "int4"
    dense: Annotated[
        Literal["int8", "int4", "keep"], typer.Option(help="Of attention and the dense MLPs.")
    ] = "int8"
    embedding: Annotated[
        Literal["bf16", "int8", "keep"], typer.Option(help="Of the vocabulary.")
    ] = "bf16"
    group: Annotated[
        int | None,
        typer.Option(
            help="Inputs of an int4 weight that share a scale: 64 or 32.",
            show_default="64, and 32 where 64 does not divide",
        ),
    ] = None

    def scheme(self) -> Scheme:
        """Raises what `Scheme` does."""
        from canvaslm.quant.scheme import Scheme

        return Scheme(**vars(self))


@dataclass(frozen=True, kw_only=True)
class Rounding:
    """How the folder is written."""

    calibrate: Annotated[
        Path | None,
        typer.Option(
            help="A text: inputs that are large while it is read are rounded the more carefully.",
            show_default=False,
        ),
    ] = None
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a checkpoint that is there already.")
    ] = False


def quantize(
    *,
    model: Annotated[
        str, typer.Argument(help="The folder or hub id to round.", show_default=False)
    ],
    out: Annotated[Path, typer.Argument(help="The folder to write.", show_default=False)],
    kept: Kept,
    rounding: Rounding,
    as_json: options.Json = False,
) -> None:
    """Round a checkpoint's weights and write them as a folder that `load` reads.

    Router, norms, scalars and self-conditioning are kept. The layout is that of compressed-tensors.
    How far the outputs of each kind of matrix move is printed and written beside the weights.
    """
    report = _write(model, out, kept.scheme(), rounding)
    if as_json:
        output.write_json({"path": str(out), **report.document()})
    else:
        _show(out, report)


def _write(model: str, out: Path, scheme: Scheme, rounding: Rounding) -> Report:
    from rich.progress import DownloadColumn, TimeRemainingColumn

    from canvaslm.checkpoint.folder import open_checkpoint
    from canvaslm.cli.progress import bar
    from canvaslm.engine.quantised.write import check_request, quantise_folder

    source = open_checkpoint(model)
    check_request(source, out, scheme, overwrite=rounding.overwrite)
    with bar(DownloadColumn(), TimeRemainingColumn()) as progress:
        task = progress.add_task("rounding", total=None)
        return quantise_folder(
            source,
            out,
            scheme,
            importance=_importance(source, rounding.calibrate),
            overwrite=rounding.overwrite,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )


def _importance(source: Checkpoint, calibrate: Path | None) -> Importance | None:
    if calibrate is None:
        return None
    from canvaslm.engine.quantised.importance import measure_importance, read_text

    return measure_importance(source, read_text(source, calibrate))


def _show(out: Path, report: Report) -> None:
    table = output.figures("relative output error of layer", *report.whole)
    for layer, kinds in report.layers.items():
        table.add_row(str(layer), *(_percent(kinds.get(kind)) for kind in report.whole))
    table.add_row("all", *map(_percent, report.whole.values()))
    output.console().print(table)
    typer.echo(f"{out}: {report.bytes_after / 1e6:,.1f} MB, was {report.bytes_before / 1e6:,.1f}")


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f} %"
