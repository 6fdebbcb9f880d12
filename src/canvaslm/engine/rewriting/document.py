"""Several gaps in one document, filled in their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from canvaslm.engine.params import Params
from canvaslm.engine.rewriting.desk import Desk, Order
from canvaslm.engine.rewriting.infill import DEFAULT, GapRules, Infilled, check_gap, infill
from canvaslm.engine.rewriting.write import Watch
from canvaslm.errors import ParameterError
from canvaslm.tasks.code import GAP


@dataclass(frozen=True, kw_only=True)
class InfilledDocument:
    """A document with all its gaps filled; `fills` are they, in order.

    Each fill's own `document` is what it was asked with, where later gaps were closed up.
    """

    document: str
    fills: tuple[Infilled, ...]
    steps: int
    seconds: float
    seed: int


def infill_document(
    desk: Desk,
    parts: str | Sequence[str],
    *,
    max_gap: int,
    params: Params | None,
    rules: GapRules = DEFAULT,
    watch: Watch | None = None,
) -> InfilledDocument:
    """What `LM.infill_document` does. All gaps are checked before the first is filled."""
    pieces = split(parts)
    order = Order.of(desk, params)
    for before, after in pairwise(pieces):
        check_gap(before, after, max_gap=max_gap, gap=None)
    started, document, fills = desk.clock(), pieces[0], []
    seeded = replace(order.params, seed=order.seed)
    for place, piece in enumerate(pieces[1:], start=1):
        after = "".join(pieces[place:])
        fill = infill(
            desk,
            document,
            after,
            max_gap=max_gap,
            gap=None,
            params=seeded,
            rules=rules,
            watch=watch,
        )
        document += fill.text + piece
        fills.append(fill)
    return InfilledDocument(
        document=document,
        fills=tuple(fills),
        steps=sum(fill.steps for fill in fills),
        seconds=desk.clock() - started,
        seed=order.seed,
    )


def split(parts: str | Sequence[str]) -> list[str]:
    """The texts around the gaps: given so, or a document that is cut at each `<gap>`.

    Raises ParameterError where there is no gap.
    """
    if isinstance(parts, str):
        pieces = parts.split(GAP)
        if len(pieces) == 1:
            raise ParameterError(f"the document has no {GAP}: put one where text is missing")
        return pieces
    pieces = list(parts)
    if len(pieces) < 2:
        raise ParameterError(
            f"{len(pieces)} part has no gap: give 2 or more, with a gap between each and the next"
        )
    return pieces
