"""`canvaslm edit`: write a span of a document anew from what it says."""

from __future__ import annotations

from typing import Annotated

import typer

from canvaslm.cli import documents, options, output
from canvaslm.errors import ParameterError


def edit(
    *,
    file: documents.File = None,
    span: Annotated[
        str | None,
        typer.Option(help="START:END in characters, from 0.", show_default=False),
    ] = None,
    lines: Annotated[
        str | None, typer.Option(help="A:B, whole lines from 1.", show_default=False)
    ] = None,
    instruction: Annotated[
        str | None, typer.Option(help="What to change.", show_default=False)
    ] = None,
    strength: Annotated[
        float, typer.Option(help="Share of the span's tokens that starts as noise, above 0 to 1.")
    ] = 0.5,
    write: documents.Write = False,
    watch: documents.Live = False,
    seed: options.Seed = None,
    as_json: options.Json = False,
    source: options.Source,
) -> None:
    """Change a span of FILE; everything outside of it comes back as it is."""
    from canvaslm import Params

    document = documents.read(file, write=write)
    if span is not None and lines is None:
        chosen = documents.pair("--span", span)
    elif lines is not None and span is None:
        chosen = documents.span_of_lines(document, *documents.pair("--lines", lines))
    else:
        raise ParameterError("say what to edit with one of --span START:END and --lines A:B")
    lm = source.load()
    with documents.shown(lm, document[: chosen[0]], wanted=watch) as show:
        done = lm.rewriter.edit(
            document,
            chosen,
            instruction=instruction,
            strength=strength,
            params=Params(seed=seed),
            watch=show,
        )
    if write or not as_json:
        documents.deliver(done.document, file, write_back=write)
    if as_json:
        output.write_json(
            {
                "document": done.document,
                "before": done.before,
                "text": done.text,
                "noised": done.noised,
                "steps": done.steps,
                "seconds": done.seconds,
                "seed": done.seed,
            }
        )
