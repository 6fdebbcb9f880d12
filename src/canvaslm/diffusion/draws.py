"""Where the randomness of a canvas comes from: an argument of the loop, so tests can replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from canvaslm.diffusion.candidate import inverse_cdf
from canvaslm.diffusion.noise import UniformNoise
from canvaslm.diffusion.rng import Stream, uniforms
from canvaslm.diffusion.statistics import Statistics


class Draws(Protocol):
    """Random choices for some `rows` of a batch; step 0 is before the first pass of a canvas.

    `inverts` says whether candidates are the inverse of the cumulative distribution at the uniform
    numbers of Stream.CANDIDATE, so that a fused head may draw them, too.
    """

    @property
    def inverts(self) -> bool: ...

    def noise(self, rows: Sequence[int], *, canvas: int, step: int) -> Tensor:
        """Fresh tokens for every position: int64 [B, L]."""
        ...

    def candidates(
        self, rows: Sequence[int], known: Statistics, *, canvas: int, step: int
    ) -> Tensor:
        """A token for every position, drawn from its probabilities: int64 [B, L]."""
        ...

    def uniforms(self, rows: Sequence[int], *, canvas: int, step: int, stream: Stream) -> Tensor:
        """Numbers in [0, 1) of one purpose: float64 [B, L]."""
        ...

    def narrowed(self, length: int) -> Draws:
        """The same for canvases of another length."""
        ...


@dataclass(frozen=True, kw_only=True)
class CounterDraws:
    """Counter-based: each row has its own seed, so its company in a batch changes nothing."""

    seeds: Sequence[int]
    length: int
    rule: UniformNoise
    device: torch.device
    inverts: ClassVar[bool] = True

    def noise(self, rows: Sequence[int], *, canvas: int, step: int) -> Tensor:
        return self.rule.tokens(self.uniforms(rows, canvas=canvas, step=step, stream=Stream.NOISE))

    def candidates(
        self, rows: Sequence[int], known: Statistics, *, canvas: int, step: int
    ) -> Tensor:
        uniform_BL = self.uniforms(rows, canvas=canvas, step=step, stream=Stream.CANDIDATE)
        return inverse_cdf(known.p, known.share, uniform_BL)

    def uniforms(self, rows: Sequence[int], *, canvas: int, step: int, stream: Stream) -> Tensor:
        numbers = [
            uniforms(self.seeds[row], canvas=canvas, step=step, stream=stream, count=self.length)
            for row in rows
        ]
        return torch.from_numpy(np.stack(numbers)).to(self.device, non_blocking=True)

    def narrowed(self, length: int) -> CounterDraws:
        """A position has the same numbers in both."""
        return replace(self, length=length)
