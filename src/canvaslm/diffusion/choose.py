"""How a candidate is taken from a position's probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from canvaslm.diffusion.draws import Draws
from canvaslm.diffusion.statistics import Statistics

# B batch, L canvas


class Choose(Protocol):
    """A token for every position: int64 [B, L]."""

    def candidates(
        self, known: Statistics, draws: Draws, rows: Sequence[int], *, canvas: int, step: int
    ) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Draw from the probabilities as they are: the published rule."""

    def candidates(
        self, known: Statistics, draws: Draws, rows: Sequence[int], *, canvas: int, step: int
    ) -> Tensor:
        return draws.candidates(rows, known, canvas=canvas, step=step)


@dataclass(frozen=True, kw_only=True)
class Likeliest:
    """Take the likeliest token: temperature 0. Entropies stay those of the schedule, else every
    position would look certain at once."""

    def candidates(
        self, known: Statistics, draws: Draws, rows: Sequence[int], *, canvas: int, step: int
    ) -> Tensor:
        return known.best
