"""How much of a canvas, from its start, is settled for good while the rest is still denoised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from canvaslm.errors import ParameterError

# L canvas


@dataclass(frozen=True, kw_only=True)
class Hold:
    """A prefix of a canvas that has stood still is held: no later step revises it.

    Its positions were all accepted, each with at most `doubt` nats, and their likeliest tokens are
    those of `steps` steps before. From then on they are pinned to these. This is an approximation:
    the published sampler may change any position until the canvas is committed.
    """

    steps: int = 2
    doubt: float = 0.001

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ParameterError(f"steps must be at least 1, got {self.steps!r}")
        if not self.doubt > 0:
            raise ParameterError(f"doubt must be positive (nats), got {self.doubt!r}")

    @property
    def looks_back(self) -> int:
        """How many earlier likeliest canvases it compares with."""
        return self.steps

    def count(
        self,
        held: int,
        *,
        best_1L: Tensor,
        earlier: Sequence[Tensor],
        accepted_1L: Tensor,
        entropy_1L: Tensor,
    ) -> int:
        """How many positions at the start are held after a step; `held` of them were before it.

        `earlier` are the likeliest canvases of the steps before, newest last. This waits for the
        device.
        """
        if len(earlier) < self.steps:
            return held
        calm_1L = accepted_1L & (entropy_1L <= self.doubt)
        for before_1L in earlier[len(earlier) - self.steps :]:
            calm_1L &= before_1L == best_1L
        return held + int(calm_1L[0, held:].long().cumprod(dim=0).sum())
