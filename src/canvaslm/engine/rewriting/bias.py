"""What the length of a gap alone does to the first step's confidence: fitted for each model."""

from __future__ import annotations

from collections.abc import Sequence

from canvaslm.diffusion.rng import Stream, uniforms
from canvaslm.engine.params import Params
from canvaslm.engine.rewriting.desk import Desk, Order, ask
from canvaslm.engine.rewriting.lengths import FLAT, LengthBias, coarse
from canvaslm.engine.rewriting.page import SHOWN, Ending, Page, length_for
from canvaslm.engine.rewriting.write import first_confidence

DOCUMENTS = 4
WORDS = 24
"""Random tokens on either side of a gap."""

LONGEST = 64


def fit_bias(desk: Desk) -> LengthBias:
    """The confidence in gaps of documents of random tokens, where nothing can be known.

    A canvas too small to tell lengths apart has no bias.
    """
    ending, config = Ending.of(desk), desk.network.config
    shown = min(SHOWN, config.canvas_length // 4)
    lengths = coarse(min(LONGEST, config.canvas_length - shown - 1))
    if len(lengths) < 2:
        return FLAT
    length = length_for(lengths[-1] + shown + 1, longest=config.canvas_length)
    totals = [0.0] * len(lengths)
    for number in range(DOCUMENTS):
        before, after = random_text(desk, 2 * number), random_text(desk, 2 * number + 1)
        rest = [*desk.tokenizer.encode(after, special=False)[:shown], ending.close]
        pages = [Page(size=size, length=length, after=rest, ending=ending) for size in lengths]
        order = Order.of(desk, Params(seed=number))
        opening = ask(desk, before, after)
        try:
            found = first_confidence(desk, opening, pages, order=order)
        finally:
            opening.prefix.free()
        totals = [total + one for total, one in zip(totals, found, strict=True)]
    return LengthBias.fit(lengths, [total / DOCUMENTS for total in totals])


def random_text(desk: Desk, number: int) -> str:
    """A text of random tokens, the same for every model with this vocabulary."""
    tokenizer = desk.tokenizer
    words: Sequence[int] = sorted(set(range(tokenizer.vocab_size)) - tokenizer.special_ids)
    numbers = uniforms(number, canvas=0, step=0, stream=Stream.SCORE, count=WORDS)
    return tokenizer.decode([words[int(u * len(words))] for u in numbers])
