"""`canvaslm generate`: answer a prompt."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from canvaslm.cli import options, output
from canvaslm.cli.generate_options import (
    Answers,
    Bounded,
    Canvas,
    Drawn,
    Told,
    params_of,
)
from canvaslm.errors import ParameterError

if TYPE_CHECKING:
    from canvaslm import LM, Params, Result
    from canvaslm.engine.params import Mode


def generate(
    *,
    prompt: Annotated[
        str | None,
        typer.Argument(help="What to ask; without it, standard input.", show_default=False),
    ] = None,
    answers: Answers,
    bounded: Bounded,
    drawn: Drawn,
    told: Told,
    canvas: Canvas,
    as_json: options.Json = False,
    source: options.Source,
) -> None:
    """Answer PROMPT, or what standard input holds; the text comes as it is settled."""
    params = params_of(answers, bounded, drawn, told, canvas)
    params.check_mode(answers.mode)
    canvas.check(answers)
    told.check(as_json=as_json)
    asked = _read_stdin() if prompt is None else prompt
    lm = source.load()
    if canvas.watch:
        result = _watched(lm, asked, params)
    elif as_json or params.n > 1:
        result = lm.generate(asked, params=params, mode=answers.mode)
    else:
        _stream(lm, asked, params, answers.mode)
        return
    if as_json:
        output.write_json(output.answer(result))
    else:
        output.write("".join(choice.text + "\n" for choice in result.choices))


def _read_stdin() -> str:
    if sys.stdin.isatty():
        raise ParameterError('no prompt: canvaslm generate "PROMPT", or pipe one in')
    try:
        text = sys.stdin.read().rstrip("\n")
    except UnicodeDecodeError as error:
        raise ParameterError(f"standard input is not text: {error}") from None
    if not text:
        raise ParameterError("no prompt: standard input is empty")
    return text


def _stream(lm: LM, prompt: str, params: Params, mode: Mode) -> None:
    from canvaslm import Text

    for event in lm.stream(prompt, params=params, mode=mode):
        if isinstance(event, Text):
            output.write(event.delta)
    output.write("\n")


def _watched(lm: LM, prompt: str, params: Params) -> Result:
    """Answer while the canvas is drawn on stderr, where it is wiped off at the end."""
    from rich.console import Console

    from canvaslm.cli.watch import draw_answer, watch

    console = Console(stderr=True)
    if not console.is_terminal:
        raise ParameterError("--watch draws on stderr, which is no terminal: leave it out")
    return watch(
        lm.stream(prompt, params=params),
        lambda said, draft: draw_answer(lm, said, draft, console=console),
        console=console,
    )
