"""`canvaslm score`: how likely a model finds a text."""

from __future__ import annotations

import codecs
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from canvaslm.cli import options, output
from canvaslm.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from canvaslm import Elbo, Scores, TokenLogprob
    from canvaslm.text.tokenizer import Tokenizer

SAMPLES = 16


def score(
    *,
    file: Annotated[
        Path | None,
        typer.Argument(help="The text; without it, standard input.", show_default=False),
    ] = None,
    continuation: Annotated[
        str | None,
        typer.Option(
            help="Score this as the answer, with the text as its prompt.", show_default=False
        ),
    ] = None,
    elbo: Annotated[
        bool, typer.Option("--elbo", help="Bound what diffusion makes of the continuation, too.")
    ] = False,
    samples: Annotated[
        int | None,
        typer.Option(help="Noised copies of each canvas for --elbo.", show_default=str(SAMPLES)),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of the noise of --elbo.", show_default="0")
    ] = None,
    top: Annotated[int, typer.Option(help="Likeliest tokens in each place, with --json.")] = 0,
    as_json: options.Json = False,
    source: options.Source,
) -> None:
    """Print the log-probability of a text, or of an answer to it, token by token."""
    if elbo and continuation is None:
        raise ParameterError("--elbo bounds an answer: give it with --continuation")
    if not elbo and (samples, seed) != (None, None):
        raise ParameterError("--samples and --seed would have no effect without --elbo")
    if top and not as_json:
        raise ParameterError("--top would have no effect without --json")
    text = _read(file)
    lm = source.load()
    if continuation is not None:
        text = text.rstrip("\n")
    scores = lm.score(text, continuation=continuation, top=top)
    bound = None
    if elbo and continuation is not None:
        bound = lm.elbo(
            text,
            continuation,
            samples=SAMPLES if samples is None else samples,
            seed=seed or 0,
        )
    if as_json:
        output.write_json(_document(scores, bound, lm.tokenizer))
    else:
        _print(scores, bound)


def _read(file: Path | None) -> str:
    if file is None and sys.stdin.isatty():
        raise ParameterError("no text: canvaslm score FILE, or pipe one in")
    try:
        text = sys.stdin.read() if file is None else file.read_text(encoding="utf-8")
    except OSError as error:
        raise ParameterError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ParameterError(f"{file or 'standard input'} is not text: {error}") from None
    if not text:
        raise ParameterError(f"no text: {file or 'standard input'} is empty")
    return text


def _document(scores: Scores, bound: Elbo | None, tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "kind": "causal",
        "tokens": [_token(token, tokenizer) for token in scores.tokens],
        "sum": scores.sum,
        "mean": scores.mean,
        "perplexity": scores.perplexity,
        "bytes": scores.bytes,
        "bits_per_byte": scores.bits_per_byte,
        "elbo": bound and asdict(bound) | {"bits_per_token": bound.bits_per_token},
    }


def _token(token: TokenLogprob, tokenizer: Tokenizer) -> dict[str, Any]:
    def entry(id: int, logprob: float) -> dict[str, Any]:
        text = tokenizer.token_bytes(id).decode(errors="replace")
        return {"token_id": id, "text": text, "logprob": logprob}

    top = [entry(id, logprob) for id, logprob in token.top]
    return entry(token.token_id, token.logprob) | {"top": top}


def _print(scores: Scores, bound: Elbo | None) -> None:
    from rich.console import Console

    from canvaslm.cli.canvas_view import legend, paint

    console = Console(highlight=False)
    pieces = _pieces(scores.tokens)
    console.print(paint(pieces, [-token.logprob for token in scores.tokens]), soft_wrap=True)
    if console.is_terminal:
        console.print(legend())
    rate = scores.bits_per_byte
    console.print(
        f"{len(scores.tokens)} tokens, {scores.sum:.2f} nats, {scores.mean:.3f} a token, "
        f"perplexity {scores.perplexity:.2f}"
        + ("" if rate is None else f", {rate:.3f} bits a byte"),
        soft_wrap=True,
    )
    if bound is not None:
        error = bound.standard_error
        console.print(
            f"diffusion: at least {bound.mean:.2f} nats"
            + ("" if error is None else f" ± {error:.2f}")
            + f", {bound.bits_per_token:.3f} bits a token with its closing",
            soft_wrap=True,
        )


def _pieces(tokens: Sequence[TokenLogprob]) -> list[str]:
    """The text of each token; a character in several tokens is shown at the last of them."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    return [decoder.decode(token.token_bytes) for token in tokens]
