"""The corrector of a step: accepted positions that return to noise after all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from canvaslm.diffusion.view import View
from canvaslm.errors import ParameterError

# B batch, L canvas


class Correct(Protocol):
    """A rule that takes back some of what a step accepted."""

    def kept(self, view: View, accepted_BL: Tensor, uniform_BL: Tensor) -> Tensor:
        """bool [B, L]: the accepted positions without those that return to noise; one number in
        [0, 1) for each position decides where chance does."""
        ...


@dataclass(frozen=True, kw_only=True)
class Renoise:
    """Each accepted position returns to noise with chance `rate`: predictor-corrector sampling
    for uniform noise (arXiv 2602.21185).

    The next step sees the text with holes and finds again what the rest implies, or something
    better. What would be committed is the likeliest text of a step, which has no holes.
    """

    rate: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise ParameterError(f"rate must be between 0 and 1, got {self.rate!r}")

    def kept(self, view: View, accepted_BL: Tensor, uniform_BL: Tensor) -> Tensor:
        return accepted_BL & (uniform_BL >= self.rate)


@dataclass(frozen=True, kw_only=True)
class Doubtful:
    """The least certain `share` of the accepted positions that count returns to noise."""

    share: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ParameterError(f"share must be between 0 and 1, got {self.share!r}")

    def kept(self, view: View, accepted_BL: Tensor, uniform_BL: Tensor) -> Tensor:
        among_BL = accepted_BL if view.open is None else accepted_BL & view.open
        doubt_BL = view.known.entropy.where(among_BL, -1.0)
        order_BL = doubt_BL.argsort(dim=-1, descending=True, stable=True)
        rank_BL = order_BL.argsort(dim=-1)
        taken_B1 = (among_BL.sum(dim=-1, keepdim=True) * self.share).floor()
        return accepted_BL & ~(among_BL & (rank_BL < taken_B1))
