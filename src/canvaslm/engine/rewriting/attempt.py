"""Ways to write a gap, tried beside each other, and the causal mode's verdict on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from canvaslm.engine.rewriting.around import Around
from canvaslm.engine.rewriting.desk import Desk, Order
from canvaslm.engine.rewriting.page import Page
from canvaslm.engine.rewriting.write import Watch, judge, write


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A canvas to be written, and the sides of the gap as it sees them."""

    around: Around
    page: Page


class Raw(NamedTuple):
    """A text for a gap as it was written, and the tokens it took."""

    text: bytes
    tokens: int


@dataclass(frozen=True, kw_only=True)
class Found:
    """A text for a gap, the tokens it took, and the causal score: nats per token of the text and
    what follows it."""

    text: str
    tokens: int
    score: float


def try_out(
    desk: Desk, attempts: Sequence[Attempt], *, order: Order, watch: Watch | None
) -> tuple[list[Raw], int]:
    """Write all attempts: what each gave, and the passes it took."""
    found: list[Raw] = []
    steps = 0
    for length in sorted({attempt.page.length for attempt in attempts}):
        group = [attempt for attempt in attempts if attempt.page.length == length]
        written = write(
            desk,
            [attempt.around.opening for attempt in group],
            [attempt.page for attempt in group],
            order=order,
            watch=watch,
        )
        steps += max(one.steps for one in written)
        found += [read(desk, a, one.ids) for a, one in zip(group, written, strict=True)]
    return found, steps


def read(desk: Desk, attempt: Attempt, ids: Sequence[int]) -> Raw:
    """The text of the gap on a canvas."""
    around, size = attempt.around, attempt.page.size
    if attempt.page.after is None:
        return read_open(desk, around, ids)
    text = around.seams.strip(desk.tokenizer.text_bytes(ids[:size]))
    return Raw(text, size - around.seams.tokens)


def read_open(desk: Desk, around: Around, ids: Sequence[int]) -> Raw:
    """The text of a gap that the model ended itself: `ids` go on to an end, or are cut.

    Having learnt that canvases show what follows a gap, a model may write that, too; it is taken
    off.
    """
    spell, ends = desk.tokenizer.text_bytes, desk.settings.eos_ids
    ids = ids[: next((place for place, id in enumerate(ids) if id in ends), len(ids))]
    text, shown = spell(ids), spell(around.shown)
    if shown and text.endswith(shown):
        text = text.removesuffix(shown)
        while ids and len(spell(ids[:-1])) >= len(text):
            ids = ids[:-1]
        if len(ids) <= around.most:
            return Raw(text, len(ids))
    ids = ids[: around.most]
    return Raw(spell(ids), len(ids))


def weigh(desk: Desk, around: Around, written: Sequence[Raw]) -> list[Found]:
    """Each text once, best first: those of whole characters, then by the mean causal
    log-probability of the text's tokens and what its canvas shows behind it.

    The mean and not the sum, which cannot fall as far in a short text, however wrong it is.
    """
    raws = list({raw.text: raw for raw in reversed(written)}.values())[::-1]
    texts = [raw.text.decode("utf-8", errors="replace") for raw in raws]
    encode = desk.tokenizer.encode
    judged = judge(
        desk, around.opening, [[*encode(text, special=False), *around.rest] for text in texts]
    )
    found = [
        Found(text=text, tokens=raw.tokens, score=math.fsum(logprobs) / len(logprobs))
        for text, raw, logprobs in zip(texts, raws, judged, strict=True)
    ]
    broken = {text for text, raw in zip(texts, raws, strict=True) if text.encode() != raw.text}
    return sorted(found, key=lambda one: (one.text in broken, -one.score))
