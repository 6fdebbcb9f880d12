"""When a canvas has settled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from canvaslm.errors import ParameterError


@dataclass(frozen=True, kw_only=True)
class StableAndConfident:
    """Settled when the likeliest canvas has not changed for `stability` steps and H is small.

    `confidence` bounds the mean entropy over the canvas, in nats. With `stability` 0 only that
    counts.
    """

    stability: int = 1
    confidence: float = 0.005

    def __post_init__(self) -> None:
        if self.stability < 0:
            raise ParameterError(f"stability must be at least 0 steps, got {self.stability!r}")
        if not self.confidence > 0:
            raise ParameterError(f"confidence must be positive (nats), got {self.confidence!r}")

    def settled(self, best_BL: Tensor, entropy_BL: Tensor, earlier: Sequence[Tensor]) -> Tensor:
        """Boolean [B]: may each canvas be committed? `earlier` holds the likeliest canvases of the
        steps before this one [B, L], newest last, at least `stability` of them where they exist."""
        if len(earlier) < self.stability:
            return torch.zeros(len(best_BL), dtype=torch.bool, device=best_BL.device)
        settled = entropy_BL.mean(dim=-1) < self.confidence
        for before_BL in earlier[len(earlier) - self.stability :]:
            settled &= (before_BL == best_BL).all(dim=-1)
        return settled
