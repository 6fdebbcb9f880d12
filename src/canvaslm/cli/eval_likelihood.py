"""`canvaslm eval likelihood`: how likely a model finds texts, in both of its modes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from canvaslm.cli import documents, options, output
from canvaslm.errors import ParameterError

if TYPE_CHECKING:
    from canvaslm import LM
    from canvaslm.eval.likelihood import Part

SAMPLES = 16
LONGEST = 20  # characters of a path that the table shows, its end


def likelihood(
    *,
    files: Annotated[list[Path], typer.Argument(help="Texts in UTF-8.", show_default=False)],
    bound: Annotated[
        bool,
        typer.Option("--elbo/--no-elbo", help="Bound what diffusion makes of them, which is slow."),
    ] = True,
    samples: Annotated[
        int | None,
        typer.Option(help="Noised copies of each canvas.", show_default=str(SAMPLES)),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    part: Annotated[
        int | None,
        typer.Option(
            help="Tokens that are judged together.", show_default="four canvases, if they fit"
        ),
    ] = None,
    source: options.Source,
    as_json: options.Json = False,
) -> None:
    """Perplexity left to right and the bound of diffusion, as bits per byte with their errors."""
    if samples is not None and not bound:
        raise ParameterError("--samples would have no effect with --no-elbo")
    chosen = None
    if bound:
        chosen = SAMPLES if samples is None else samples
    texts = {str(file): documents.read(file, write=False) for file in files}
    for name, text in texts.items():
        if not text:
            raise ParameterError(f"{name} is empty: there is nothing to judge")
    lm = source.load()
    found = _judge(lm, texts, samples=chosen, seed=seed, part=part)
    machine = source.measured(lm)
    asked = {"samples": chosen, "seed": seed, "part": part}
    _show(found, asked, machine, as_json=as_json)


def _judge(
    lm: LM, texts: Mapping[str, str], *, samples: int | None, seed: int, part: int | None
) -> dict[str, list[Part]]:
    from rich.progress import TextColumn

    from canvaslm.cli.progress import bar
    from canvaslm.eval.likelihood import judge

    with bar(TextColumn("{task.completed} tokens")) as progress:
        row = progress.add_task("judging", total=None)
        return {
            name: judge(
                lm,
                text,
                samples=samples,
                seed=seed,
                most=part,
                progress=lambda tokens: progress.advance(row, tokens),
            )
            for name, text in texts.items()
        }


def _show(
    found: Mapping[str, list[Part]],
    asked: Mapping[str, int | None],
    machine: Mapping[str, str],
    *,
    as_json: bool,
) -> None:
    from canvaslm.eval.likelihood import Likelihood

    rows = {name: Likelihood.of(parts) for name, parts in found.items()}
    total = Likelihood.of([part for parts in found.values() for part in parts])
    if as_json:
        files = {name: asdict(row) for name, row in rows.items()}
        output.write_json({**asdict(total), "files": files, **asked, **machine})
        return
    table = output.figures(
        "text", "parts", "tokens", "bytes", "perplexity", "bits/byte", "±", "by diffusion ≤", "±"
    )
    for name, row in (*rows.items(), ("all", total)):
        if name == "all" and len(rows) == 1:
            continue
        table.add_row(
            name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}",
            *(f"{count:,}" for count in (row.parts, row.tokens, row.bytes)),
            f"{row.perplexity:.2f}",
            f"{row.causal:.3f}",
            _error(row.causal_error),
            _error(row.bound),
            _error(row.bound_error),
            style="bold" if name == "all" else None,
        )
    console = output.console()
    console.print(table)
    console.print(
        f"{output.named(machine)}; errors are standard errors over parts: {machine['device']}, "
        f"{machine['dtype']}",
        markup=False,
    )


def _error(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
