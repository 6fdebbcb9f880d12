"""A request on the terminal while it is answered: every draft drawn, until the answer stands."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from canvaslm.cli.canvas_view import Canvas, paint, printable
from canvaslm.engine.events import Done, Draft, Event
from canvaslm.engine.events import Text as Delta

if TYPE_CHECKING:
    from canvaslm import LM, Result

FRAME = 0.06
"""Seconds a frame stays at least: the model is faster than an eye."""

NOISE = 0.7
"""Nats from which a position is shown as the noise that stands on the canvas, not as a guess."""


def look(lm: LM, draft: Draft) -> Canvas:
    """The draft as pieces of text, behind what of it has left as text: its likeliest tokens, and
    what to show of it."""
    decode, open_part = lm.tokenizer.decode, slice(draft.held, None)
    entropies = draft.entropy[open_part]
    likely = [decode([id]) for id in draft.token_ids[open_part]]
    rows = zip(likely, draft.noisy_ids[open_part], entropies, strict=True)
    shown = [decode([noisy]) if doubt > NOISE else piece for piece, noisy, doubt in rows]
    return Canvas(pieces=likely, shown=shown, entropies=entropies)


def watch(
    events: Iterator[Event],
    draw: Callable[[str, Draft], RenderableType],
    *,
    console: Console,
    keep: bool = False,
) -> Result:
    """Draw each draft of a stream, given the text before it, and return the answer.

    The last picture is wiped off at the end or, with `keep`, drawn once more without noise.
    """
    said, last = "", None
    with Live(console=console, auto_refresh=False, transient=not keep) as live:
        for event in events:
            match event:
                case Delta(delta=delta):
                    said += delta
                case Draft():
                    last, due = event, time.perf_counter() + FRAME
                    live.update(draw(said, event), refresh=True)
                    time.sleep(max(0.0, due - time.perf_counter()))
                case Done(result=result):
                    if keep and last is not None:
                        settled = replace(last, noisy_ids=last.token_ids)
                        live.update(draw(said, settled), refresh=True)
                    return result
    raise AssertionError("a stream ends with Done")


def draw_answer(lm: LM, said: str, draft: Draft, *, console: Console) -> RenderableType:
    """The end of what has been said and the canvas after it, in at most half of the screen."""
    canvas = look(lm, draft)
    text = Text(printable(said)).append_text(paint(canvas.shown, canvas.entropies))
    text.rstrip()
    rows = text.wrap(console, console.width)
    kept = rows[-max(4, console.height // 2) :]
    status = Text(f"step {draft.step}, {canvas.settled:.0%} settled", "dim")
    return Text("\n").join([*kept, status])
