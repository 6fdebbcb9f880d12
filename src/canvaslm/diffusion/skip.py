"""Which positions of a canvas a pass may leave out, because nothing is expected to change there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from canvaslm.errors import ParameterError

# L canvas, R positions to compute


@dataclass(frozen=True, kw_only=True)
class Skip:
    """A settled position keeps its hidden state and its K/V from the last pass that computed them.

    Settled is one whose token was accepted with at most `doubt` nats, is the likeliest, and stood
    there in the pass before, too. Every `refresh` passes all positions are computed, so that what
    settled too early is seen again. This is an approximation: the others' states still change.
    """

    doubt: float = 0.01
    refresh: int = 4

    def __post_init__(self) -> None:
        if not self.doubt > 0:
            raise ParameterError(f"doubt must be positive (nats), got {self.doubt!r}")
        if self.refresh < 2:
            raise ParameterError(
                f"refresh must be at least 2 passes (1 would skip nothing), got {self.refresh!r}"
            )

    def places(
        self,
        step: int,
        *,
        before_1L: Tensor,
        after_1L: Tensor,
        best_1L: Tensor,
        accepted_1L: Tensor,
        entropy_1L: Tensor,
    ) -> Tensor | None:
        """Positions that the pass after `step` computes, int64 [R]; None: all.

        `before` is what pass `step` saw and `after` the canvas it left. This waits for the device.
        """
        if step % self.refresh == 0:
            return None
        settled_1L = accepted_1L & (entropy_1L <= self.doubt)
        settled_1L &= (after_1L == best_1L) & (after_1L == before_1L)
        places_R = (~settled_1L[0]).nonzero()[:, 0]
        if len(places_R) == settled_1L.shape[1]:
            return None
        if len(places_R) == 0:  # a pass has to compute something
            return torch.zeros(1, dtype=torch.long, device=places_R.device)
        return places_R
