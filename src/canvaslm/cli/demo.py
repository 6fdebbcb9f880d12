"""`canvaslm demo`: a Sudoku, a drawing and a function condense out of noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from canvaslm.cli import options

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from canvaslm import LM, Draft, Params, Result
    from canvaslm.cli.shows import Show

WIDEST = 120
"""Columns that a picture and its canvas take at most."""


def demo(
    *,
    seed: Annotated[int, typer.Option(help="Chooses the held-out cases and the noise.")] = 1,
    source: options.Source,
) -> None:
    """Watch three things condense out of noise, and see what left to right would have cost."""
    from rich.console import Console

    from canvaslm import Params
    from canvaslm.cli.canvas_view import legend, printable
    from canvaslm.cli.shows import choose
    from canvaslm.eval.machine import describe_device

    console = Console(highlight=False, markup=False)
    lm = source.load()
    params = Params(max_tokens=lm.config.canvas_length, seed=seed)
    decode = lm.tokenizer.decode
    shows = choose(seed, lambda text: [decode([id]) for id in lm.tokenizer.encode(text)])
    if console.is_terminal:
        console.print(legend())
    for show in shows:
        console.print(f"\n{show.title}", style="bold")
        if console.is_terminal:
            _perform(lm, show, params, console=console)
        else:
            answer = lm.generate(show.example.prompt, params=params).text
            console.print(f"{show.example.prompt}\n\n{printable(answer)}\n", soft_wrap=True)
        _measure(lm, show, params, console=console)
    dtype = str(lm.placement.dtype).removeprefix("torch.")
    console.print(f"\nMeasured on {describe_device(lm.placement.device)}, {dtype}.", style="dim")


def _perform(lm: LM, show: Show, params: Params, *, console: Console) -> None:
    """Answer in sight: every draft is drawn, and the last one stays."""
    from canvaslm.cli.watch import look, watch

    # Titles, measurements and the prompt of the shell want rows, too.
    width, height = min(console.width, WIDEST), console.height - 8

    def draw(said: str, draft: Draft) -> RenderableType:
        return show.draw(look(lm, draft), width=width, height=height)

    console.print(show.caption, style="dim")
    events = lm.stream(show.example.prompt, params=params)
    watch(events, draw, console=console, keep=True)


def _measure(lm: LM, show: Show, params: Params, *, console: Console) -> None:
    """Answer again with the screen still, both ways, and print what each took."""
    from canvaslm import Params

    prompt = show.example.prompt
    # Diffusion is warm from being shown; a few tokens warm up left to right.
    lm.generate(prompt, params=Params(max_tokens=4, seed=params.seed), mode="ar")
    console.print(_verdict("diffusion", show, lm.generate(prompt, params=params)))
    baseline = lm.generate(prompt, params=params, mode="ar")
    console.print(_verdict("left to right", show, baseline))


def _verdict(way: str, show: Show, result: Result) -> str:
    right = show.task.score(show.example, result.text).correct
    usage = result.usage
    speed = usage.completion_tokens / usage.seconds if usage.seconds else 0.0
    return (
        f"{way:13}  {'right' if right else 'wrong'} {usage.steps:4} steps "
        f"{usage.tokens_per_forward:6.1f} tokens/forward {speed:7,.0f} tokens/s "
        f"{usage.seconds:6.2f} s"
    )
