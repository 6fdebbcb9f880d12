"""A span written anew from what it says: some of its tokens become noise, and settle again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np

from canvaslm.diffusion.rng import Stream, uniforms
from canvaslm.engine.checks import check_integer
from canvaslm.engine.params import Params
from canvaslm.engine.rewriting.around import look_around
from canvaslm.engine.rewriting.attempt import Attempt, try_out
from canvaslm.engine.rewriting.desk import Desk, Order, check_text
from canvaslm.engine.rewriting.write import Watch
from canvaslm.errors import ParameterError

LONGER = 16
"""Tokens more than twice its own that a span may take when an instruction changes it."""


@dataclass(frozen=True, kw_only=True)
class Edited:
    """A span that was written anew; all of `document` outside of it is as it was.

    before   the span's text until now
    noised   so many of its tokens were noise at the start
    steps    passes of the network
    seed     with it the same request gives the same text
    tokens   tokens that the new text took
    prompt_tokens, cached_tokens
             of the prompt that shows the document, and how many of them were known before
    """

    text: str
    document: str
    before: str
    noised: int
    steps: int
    seconds: float
    seed: int
    tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0


def edit(
    desk: Desk,
    text: str,
    span: tuple[int, int],
    *,
    instruction: str | None,
    strength: float,
    params: Params | None,
    watch: Watch | None = None,
) -> Edited:
    """What `LM.edit` does."""
    started = desk.clock()
    start, end = check_span(text, span)
    check_strength(strength)
    order = Order.of(desk, params)
    before = text[start:end]
    ids = desk.tokenizer.encode(before, special=False)
    longest = desk.network.config.canvas_length - 1
    if len(ids) > longest:
        raise ParameterError(
            f"the span has {len(ids)} tokens, and a canvas of this model holds {longest}: edit it "
            "in parts"
        )
    draft = noise_some(ids, strength=strength, seed=order.seed)
    if instruction is not None and not instruction.strip():
        raise ParameterError("the instruction is empty: say what to change, or leave it out")
    free = instruction is not None or order.params.constraint is not None
    most = min(2 * len(ids) + LONGER, longest) if free else len(ids)
    with ExitStack() as stack:
        note = "" if instruction is None else note_of(instruction, before)
        around = look_around(
            desk, stack, text[:start], text[end:], most=most, show=not free, note=note
        )
        page = replace(around.open_page() if free else around.page(most), draft=draft)
        found, steps = try_out(desk, [Attempt(around=around, page=page)], order=order, watch=watch)
        prompt_tokens = around.opening.prefix.length
    new = found[0].text.decode("utf-8", errors="replace")
    return Edited(
        text=new,
        document=text[:start] + new + text[end:],
        before=before,
        noised=sum(id < 0 for id in draft),
        steps=steps,
        seconds=desk.clock() - started,
        seed=order.seed,
        tokens=found[0].tokens,
        prompt_tokens=prompt_tokens,
        cached_tokens=around.opening.cached,
    )


def note_of(instruction: str, before: str) -> str:
    """What the prompt says before it shows the document."""
    return f"{instruction}\nIn the gap there was:\n{before}"


def noise_some(ids: Sequence[int], *, strength: float, seed: int) -> list[int]:
    """The tokens with a `strength` share of them, at least one, replaced by -1 for noise."""
    numbers = uniforms(seed, canvas=0, step=0, stream=Stream.DRAFT, count=len(ids))
    count = max(round(strength * len(ids)), 1)
    noised = set(np.argsort(numbers, kind="stable")[:count].tolist())
    return [-1 if place in noised else id for place, id in enumerate(ids)]


def check_span(text: str, span: tuple[int, int]) -> tuple[int, int]:
    """Raises ParameterError for a span that is empty, reversed or outside the text."""
    check_text("text", text)
    try:
        start, end = span
    except (TypeError, ValueError):
        raise ParameterError(f"span must be (start, end) in characters, got {span!r}") from None
    check_integer("the start of the span", start, least=0)
    check_integer("the end of the span", end, least=0)
    if start >= end:
        what = "empty" if start == end else "reversed"
        raise ParameterError(
            f"the span ({start}, {end}) is {what}: its end must come after its start; to add text, "
            "use infill"
        )
    if end > len(text):
        raise ParameterError(
            f"the span ({start}, {end}) ends outside the text, which has {len(text)} characters"
        )
    return start, end


def check_strength(strength: object) -> None:
    number = isinstance(strength, int | float) and not isinstance(strength, bool)
    if not number or not 0 < strength <= 1:  # type: ignore[operator]
        raise ParameterError(
            f"strength must be above 0 and at most 1, the share of the span's tokens to noise, got "
            f"{strength!r}"
        )
