"""Where an answer would be cut, so that what follows need not settle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# L canvas


@dataclass(frozen=True, kw_only=True)
class Limit:
    """The longest answer, in tokens."""

    tokens: int

    def open(self, said: Sequence[int], best_L: Tensor) -> Tensor | None:
        return before(self.tokens - len(said), best_L)


@dataclass(frozen=True, kw_only=True)
class FirstStop:
    """The first stop string: it has to settle itself, what follows does not.

    `through` says how many tokens of a canvas it takes to complete one, None where it has none.
    """

    through: Callable[[Sequence[int]], int | None]

    def open(self, said: Sequence[int], best_L: Tensor) -> Tensor | None:
        count = self.through(best_L.tolist())
        return None if count is None else before(count, best_L)


def before(count: int, best_L: Tensor) -> Tensor | None:
    """bool [L]: the first `count` positions; None where that is all of them."""
    if count >= len(best_L):
        return None
    return torch.arange(len(best_L), device=best_L.device) < count
