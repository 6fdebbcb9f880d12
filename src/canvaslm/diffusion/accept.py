"""Which positions of a canvas keep their candidate; the others return to noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from canvaslm.errors import ParameterError


@dataclass(frozen=True, kw_only=True)
class EntropyBound:
    """Accept the surest positions while their joint uncertainty stays small.

    In ascending order of entropy H, a position is accepted while the sum of the entropies before
    it is at most `bound` (nats): an upper bound on how far independent draws can be from a joint
    one (arXiv 2505.24857). The surest position is always accepted.
    """

    bound: float = 0.1

    def __post_init__(self) -> None:
        if not self.bound > 0:
            raise ParameterError(f"entropy_bound must be positive (nats), got {self.bound!r}")

    def accepted(self, entropy_BL: Tensor) -> Tensor:
        """Boolean [B, L]. Equal entropies are taken from left to right."""
        ascending, order = entropy_BL.sort(dim=-1, stable=True)
        chosen = ascending.cumsum(dim=-1) - ascending <= self.bound
        return torch.empty_like(chosen).scatter_(-1, order, chosen)
