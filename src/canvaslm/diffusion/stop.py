"""When a canvas has settled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from canvaslm.diffusion.view import View
from canvaslm.errors import ParameterError

# B batch, L canvas


class Stop(Protocol):
    """A rule for committing. It compares with `looks_back` earlier likeliest canvases."""

    @property
    def looks_back(self) -> int: ...

    def settled(self, view: View) -> Tensor:
        """Boolean [B]: may each canvas be committed?"""
        ...


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

    @property
    def looks_back(self) -> int:
        return self.stability

    def settled(self, view: View) -> Tensor:
        """Where some positions do not count, the mean and the comparison are over the others."""
        earlier, best_BL = view.past.best, view.best
        if len(earlier) < self.stability:
            return torch.zeros(len(best_BL), dtype=torch.bool, device=best_BL.device)
        if view.open is None:
            settled = view.entropy.mean(dim=-1) < self.confidence
        else:
            settled = view.entropy.sum(dim=-1) < self.confidence * view.open.sum(dim=-1).clamp(
                min=1
            )
        for before_BL in earlier[len(earlier) - self.stability :]:
            same_BL = before_BL == best_BL
            settled &= (same_BL if view.open is None else same_BL | ~view.open).all(dim=-1)
        return settled
