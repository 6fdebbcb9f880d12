"""One canvas to be written: what is given in it, what is drafted, and how it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from canvaslm.control.pins import Pins
from canvaslm.control.steering import LogitRule, Steering
from canvaslm.engine.rewriting.desk import Desk, Order
from canvaslm.errors import ParameterError

SHOWN = 32
"""Most tokens of the text after a gap that its canvas shows."""

STEP = 32
"""Canvases are as long as they need to be, in multiples of this."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """The token that closes an answer, and the one that fills its canvas up."""

    close: int
    fill: int

    @classmethod
    def of(cls, desk: Desk) -> Ending:
        """The end of a turn, or eos where that closes nothing. Raises ParameterError for a model
        whose answers never end."""
        eos = desk.settings.eos_ids
        if not eos:
            raise ParameterError(
                "the model has no token that ends an answer, so no gap can be closed: set "
                "eos_token_id in its generation_config.json"
            )
        turn, fill = desk.tokenizer.token_id("<turn|>"), desk.network.config.eos_ids
        return cls(
            close=turn if turn is not None and turn in eos else min(eos),
            fill=fill[0] if fill else min(eos),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Page:
    """A canvas of `length` tokens: first the text to be written, then what follows it.

    size    tokens of the text to be written; where it ends by itself, the most it may have
    after   what follows, all of it pinned: the beginning of the rest of the document, and the
            closing token, behind which the canvas is filled up. None: the model ends the text
    given   tokens within the text that are pinned, by position
    draft   where the canvas starts from, -1 for noise; empty: all noise
    rules   change the logits, after those of the request
    """

    size: int
    length: int
    after: Sequence[int] | None
    ending: Ending
    given: Mapping[int, int] = field(default_factory=dict)
    draft: Sequence[int] = ()
    rules: Sequence[LogitRule] = ()

    def pins(self) -> Pins | None:
        tokens = dict(self.given)
        if self.after is not None:
            tokens |= dict(enumerate(self.after, start=self.size))
            filled = range(self.size + len(self.after), self.length)
            tokens |= dict.fromkeys(filled, self.ending.fill)
        return Pins(tokens=tokens) if tokens else None

    def steering(self, desk: Desk, order: Order) -> Steering:
        """What bends this canvas: the request, and the page."""
        draft = [*self.draft, *[-1] * (self.length - len(self.draft))]
        asked = order.steering(desk, room=self.size, ends=self.after is None)
        return replace(
            asked,
            pins=self.pins(),
            draft=draft if self.draft else None,
            rules=[*asked.rules, *self.rules],
        )


def length_for(tokens: int, *, longest: int) -> int:
    """The length of a canvas for `tokens` and one to fill up with, at most `longest`."""
    return min(-(-(tokens + 1) // STEP) * STEP, longest)
