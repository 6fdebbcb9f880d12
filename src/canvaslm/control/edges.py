"""Tokens that a text may begin and end with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from canvaslm.diffusion.statistics import Statistics

# L canvas, V vocabulary


class Edges:
    """Rules out all tokens but some at the first and the last of `size` positions.

    `first` and `last` are bool [V], true for what may stand there; None: anything.
    """

    constant: ClassVar[bool] = False  # positions differ

    def __init__(self, *, size: int, first: Tensor | None, last: Tensor | None) -> None:
        self._places = [
            (place, ~allowed_V)
            for place, allowed_V in ((0, first), (size - 1, last))
            if allowed_V is not None
        ]

    def apply(self, logits_LV: Tensor, said: Sequence[int], before: Statistics | None) -> None:
        for place, banned_V in self._places:
            logits_LV[place].masked_fill_(banned_V, -math.inf)
