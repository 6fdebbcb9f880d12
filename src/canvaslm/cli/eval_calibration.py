"""`canvaslm eval calibration`: whether decisions are as often right as they are probable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from canvaslm.cli import eval_options, options, output

if TYPE_CHECKING:
    from collections.abc import Mapping

    from canvaslm import LM
    from canvaslm.eval.reliability import Reliability


def calibration(
    *,
    n: Annotated[int, typer.Option("--n", help="Held-out questions about scenes.")] = 300,
    seed: Annotated[int, typer.Option(help="Chooses the questions.")] = 0,
    method: Annotated[
        Literal["denoise", "causal"],
        typer.Option(help="Read a small canvas, or the next token."),
    ] = "denoise",
    source: options.Source,
    plot: eval_options.Plot = None,
    as_json: options.Json = False,
) -> None:
    """Decisions by their probability, and the share of them that is right."""
    from canvaslm.eval.pages.plot import check, plot_reliability

    if plot is not None:
        check(plot)
    lm = source.load()
    found, machine = _measure(lm, n=n, seed=seed, method=method), source.measured(lm)
    if plot is not None:
        plot_reliability(found, plot)
    if as_json:
        output.write_json({**found.as_json(), "seed": seed, **machine})
    else:
        _show(found, machine)


def _measure(lm: LM, *, n: int, seed: int, method: Literal["denoise", "causal"]) -> Reliability:
    from rich.progress import MofNCompleteColumn

    from canvaslm.cli.progress import bar
    from canvaslm.eval.reliability import reliability

    with bar(MofNCompleteColumn()) as progress:
        row = progress.add_task("asking", total=n)
        return reliability(
            lm,
            n=n,
            seed=seed,
            method=method,
            progress=lambda done: progress.update(row, completed=done),
        )


def _show(found: Reliability, machine: Mapping[str, str]) -> None:
    table = output.figures("probability", "answers", "mean", "right", "95 %")
    for level in found.levels:
        tenth = min(int(level.probability * 10), 9)
        low, high = level.interval
        table.add_row(
            f"{tenth * 10}–{tenth * 10 + 10} %",
            str(level.n),
            f"{level.probability:.1%}",
            f"{level.right:.1%}",
            f"{low * 100:.0f}–{high * 100:.0f}",
        )
    console, judged = output.console(), found.quality
    console.print(table)
    console.print(
        f"{judged.n} answers by {found.method}, {judged.accuracy:.1%} right, expected calibration "
        f"error {judged.ece:.3f}, {judged.nll:.3f} nats; {output.named(machine)}",
        markup=False,
    )
