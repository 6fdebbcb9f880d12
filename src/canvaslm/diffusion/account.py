"""Which positions of a canvas count for accepting and stopping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from canvaslm.diffusion.statistics import Statistics

# B batch, L canvas


class Account(Protocol):
    def open(self, known: Statistics, best_BL: Tensor) -> Tensor | None:
        """bool [B, L]: positions that count, where `best` is what would be committed now; None is
        all of them."""
        ...


@dataclass(frozen=True, kw_only=True)
class Everything:
    """Every position counts: the published rule."""

    def open(self, known: Statistics, best_BL: Tensor) -> Tensor | None:
        return None
