"""`canvaslm generate`: answer a prompt."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from canvaslm.cli import options, output
from canvaslm.errors import ParameterError

if TYPE_CHECKING:
    from canvaslm import LM, Params, Result
    from canvaslm.engine.params import Mode


def generate(
    prompt: Annotated[
        str | None,
        typer.Argument(help="What to ask; without it, standard input.", show_default=False),
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.")] = 256,
    seed: options.Seed = None,
    mode: options.Mode = "diffusion",
    temperature: Annotated[
        float | None, typer.Option(help="Of --mode ar; 0 takes the likeliest.", show_default=False)
    ] = None,
    max_steps: Annotated[
        int | None,
        typer.Option(help="Denoising steps a canvas may take.", show_default="the checkpoint's"),
    ] = None,
    entropy_bound: Annotated[
        float | None,
        typer.Option(
            help="Nats of doubt accepted together in a step.", show_default="the checkpoint's"
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show the canvas condensing, on the terminal.")
    ] = False,
    as_json: options.Json = False,
    model: options.Model = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
) -> None:
    """Answer PROMPT, or what standard input holds; the text comes as it is settled."""
    import canvaslm

    params = canvaslm.Params(
        max_tokens=max_tokens,
        seed=seed,
        temperature=temperature,
        max_steps=max_steps,
        entropy_bound=entropy_bound,
    )
    params.check_mode(mode)
    if watch and mode == "ar":
        raise ParameterError("--watch shows canvases, and --mode ar has none: leave one out")
    asked = _read_stdin() if prompt is None else prompt
    lm = options.load(model, device=device, dtype=dtype)
    if watch:
        result = _watched(lm, asked, params)
    elif as_json:
        result = lm.generate(asked, params=params, mode=mode)
    else:
        _stream(lm, asked, params, mode)
        return
    if as_json:
        output.write_json(output.answer(result))
    else:
        output.write(result.text + "\n")


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
