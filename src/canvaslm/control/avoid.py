"""Rules out what would complete a forbidden word, until the likeliest canvas holds none."""

from __future__ import annotations

import math
from collections.abc import Callable, Container

from torch import Tensor

from canvaslm.control.forbid import Forbidden, Hit
from canvaslm.diffusion.statistics import likeliest
from canvaslm.errors import ParameterError

# L canvas, V vocabulary


def avoid(
    forbidden: Forbidden,
    z_LV: Tensor,
    *,
    fixed: Container[int],
    conditioned: Callable[[Tensor], Tensor | None] | None = None,
) -> None:
    """Bend z, in place, so that what would be committed holds no forbidden word.

    Of the first word found, the last token that is not `fixed` is ruled out at its place, and so
    on: the text before it stays, and at the next step the network sees it so. `conditioned` brings
    a constraint's posterior into z and gives its likeliest canvas; without it that is the likeliest
    token everywhere. Raises ParameterError where nothing else is left.
    """
    free_LV = z_LV.clone() if conditioned is not None else z_LV
    best = _best(z_LV, conditioned)
    while (hit := forbidden.find(best)) is not None:
        place = _place(hit, fixed)
        if free_LV[place, best[place]] == -math.inf:
            raise ParameterError(
                f"bad_words leave no token for position {place} of a canvas: forbid less"
            )
        free_LV[place, best[place]] = -math.inf
        if conditioned is None:
            best[place] = int(likeliest(z_LV[place][None, None])[1])
        else:
            z_LV.copy_(free_LV)
            best = _best(z_LV, conditioned)


def _best(z_LV: Tensor, conditioned: Callable[[Tensor], Tensor | None] | None) -> list[int]:
    best_L = None if conditioned is None else conditioned(z_LV)
    chosen: list[int] = (likeliest(z_LV[None])[1][0] if best_L is None else best_L).tolist()
    return chosen


def _place(hit: Hit, fixed: Container[int]) -> int:
    """The last place of a forbidden word that may be changed."""
    for place in range(hit.last, max(hit.first, 0) - 1, -1):
        if place not in fixed:
            return place
    raise ParameterError(
        f"the pinned tokens up to position {hit.last} of a canvas complete one of bad_words: leave "
        "out one or the other"
    )
