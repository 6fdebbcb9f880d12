"""Which positions of a canvas keep their candidate; the others return to noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from canvaslm.diffusion.view import View
from canvaslm.errors import ParameterError

# B batch, L canvas


class Accept(Protocol):
    """A rule for accepting candidates. `looks_back` and `compares` say what of the past it reads:
    that many likeliest canvases, and the last step's probabilities."""

    @property
    def looks_back(self) -> int: ...

    @property
    def compares(self) -> bool: ...

    def accepted(self, view: View) -> Tensor:
        """Boolean [B, L]: positions that keep their candidate."""
        ...


@dataclass(frozen=True, kw_only=True)
class EntropyBound:
    """Accept the surest positions while their joint uncertainty stays small.

    In ascending order of entropy H, a position is accepted while the sum of the entropies before
    it is at most `bound` (nats): an upper bound on how far independent draws can be from a joint
    one (arXiv 2505.24857). The surest position is always accepted.
    """

    bound: float = 0.1
    looks_back: ClassVar[int] = 0
    compares: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.bound > 0:
            raise ParameterError(f"entropy_bound must be positive (nats), got {self.bound!r}")

    def accepted(self, view: View) -> Tensor:
        """Equal entropies are taken from left to right; what does not count costs nothing."""
        ascending, order = view.entropy.sort(dim=-1, stable=True)
        chosen = ascending.cumsum(dim=-1) - ascending <= self.bound
        return torch.empty_like(chosen).scatter_(-1, order, chosen)
