"""`canvaslm infill`: fill the gaps of a document."""

from __future__ import annotations

from typing import Annotated

import typer

from canvaslm.cli import documents, options, output
from canvaslm.errors import ParameterError


def infill(
    *,
    file: documents.File = None,
    at: Annotated[
        str | None,
        typer.Option(
            help="LINE:COL of the gap, from 1; without it, every <gap> of the document is filled.",
            show_default=False,
        ),
    ] = None,
    max_gap: Annotated[int, typer.Option(help="Most tokens that a gap may get.")] = 64,
    gap: Annotated[
        int | None,
        typer.Option(help="Tokens of the gap, with --at.", show_default="the model finds out"),
    ] = None,
    write: documents.Write = False,
    watch: documents.Live = False,
    seed: options.Seed = None,
    as_json: options.Json = False,
    source: options.Source,
) -> None:
    """Write what is missing in FILE; everything else comes back as it is."""
    from canvaslm import Params
    from canvaslm.tasks.code import GAP

    document = documents.read(file, write=write)
    parts = document.split(GAP)
    if at is None and len(parts) == 1:
        raise ParameterError(f"the document has no {GAP}: put one where text is missing, or --at")
    if at is not None and len(parts) > 1:
        raise ParameterError(f"the document has a {GAP} already: take it out, or leave out --at")
    if at is None and gap is not None:
        raise ParameterError("--gap is the length of one gap: give its place with --at")
    if at is not None:
        place = documents.place_at(document, *documents.pair("--at", at))
        parts = [document[:place], document[place:]]
    params = Params(seed=seed)
    lm = source.load()
    with documents.shown(lm, parts[0], wanted=watch) as show:
        if len(parts) == 2:
            one = lm.rewriter.infill(*parts, max_gap=max_gap, gap=gap, params=params, watch=show)
            filled, fills = one.document, [one]
        else:
            many = lm.rewriter.infill_document(parts, max_gap=max_gap, params=params, watch=show)
            filled, fills = many.document, list(many.fills)
    if write or not as_json:
        documents.deliver(filled, file, write_back=write)
    if as_json:
        described = [
            {
                "text": fill.text,
                "gap_tokens": fill.gap_tokens,
                "candidates": {str(length): score for length, score in fill.candidates.items()},
                "steps": fill.steps,
                "seconds": fill.seconds,
            }
            for fill in fills
        ]
        output.write_json({"document": filled, "fills": described, "seed": fills[0].seed})
