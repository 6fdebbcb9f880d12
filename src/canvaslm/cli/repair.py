"""`canvaslm repair`: write anew what the model doubts in a document."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from canvaslm.cli import documents, options, output


def repair(
    *,
    file: documents.File = None,
    prompt: Annotated[
        str | None, typer.Option(help="What the document answers.", show_default=False)
    ] = None,
    doubt: Annotated[
        float, typer.Option(help="Nats of surprise, left to right, from which a token is doubted.")
    ] = 4.0,
    rounds: Annotated[int, typer.Option(help="Drafts that a canvas may have at most.")] = 4,
    write: documents.Write = False,
    watch: documents.Live = False,
    seed: options.Seed = None,
    as_json: options.Json = False,
    source: options.Source,
) -> None:
    """Redraft what surprises the model in FILE, and keep it where that makes FILE likelier."""
    from canvaslm import Params

    document = documents.read(file, write=write)
    lm = source.load()
    with documents.shown(lm, "", wanted=watch) as show:
        done = lm.rewriter.repair(
            document,
            prompt=prompt,
            doubt=doubt,
            rounds=rounds,
            params=Params(seed=seed),
            watch=show,
        )
    if write or not as_json:
        documents.deliver(done.text, file, write_back=write)
    if as_json:
        output.write_json(asdict(done))
