"""How a candidate is taken from a position's probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from canvaslm.diffusion.candidate import blocks
from canvaslm.diffusion.draws import Draws
from canvaslm.diffusion.statistics import Statistics
from canvaslm.kernels.ops import Belief

# B batch, L canvas, V vocabulary, K likeliest tokens, N positions

FEW = 64


class Choose(Protocol):
    """A token for every position: int64 [B, L]. `reads_all` says whether that takes all
    probabilities; without, `believed` gives it from what a fused head saw."""

    @property
    def reads_all(self) -> bool: ...

    def believed(self, belief: Belief) -> Tensor: ...

    def candidates(
        self, known: Statistics, draws: Draws, rows: Sequence[int], *, canvas: int, step: int
    ) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Draw from the probabilities as they are: the published rule."""

    reads_all: ClassVar[bool] = False

    def believed(self, belief: Belief) -> Tensor:
        assert belief.drawn is not None
        return belief.drawn

    def candidates(
        self, known: Statistics, draws: Draws, rows: Sequence[int], *, canvas: int, step: int
    ) -> Tensor:
        return draws.candidates(rows, known, canvas=canvas, step=step)


@dataclass(frozen=True, kw_only=True)
class Likeliest:
    """Take the likeliest token: temperature 0. Entropies stay those of the schedule, else every
    position would look certain at once."""

    reads_all: ClassVar[bool] = False

    def believed(self, belief: Belief) -> Tensor:
        return belief.best

    def candidates(
        self, known: Statistics, draws: Draws, rows: Sequence[int], *, canvas: int, step: int
    ) -> Tensor:
        return known.best


@dataclass(frozen=True, kw_only=True)
class Filtered:
    """Draw among the likeliest tokens only. Entropies and self-conditioning see all of them.

    A token has to pass every filter that is given, each of which looks at the probabilities as they
    are: it is one of the `top_k` likeliest; the tokens that are likelier than it have less than
    `top_p` together; it has at least `min_p` times the probability of the likeliest. Tokens that
    are exactly as likely as the last one to pass do so, too.
    """

    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    reads_all: ClassVar[bool] = True

    def believed(self, belief: Belief) -> Tensor:
        raise AssertionError("filters read all probabilities")

    def candidates(
        self, known: Statistics, draws: Draws, rows: Sequence[int], *, canvas: int, step: int
    ) -> Tensor:
        p_BLV, share_BLK = self.keep(known.p)
        passed = known._replace(p=p_BLV, share=share_BLK)
        return draws.candidates(rows, passed, canvas=canvas, step=step)

    def keep(self, p_BLV: Tensor) -> tuple[Tensor, Tensor]:
        """What passes of the probabilities, normalised again, and its sums over blocks."""
        p_BLV = p_BLV.where(p_BLV >= self.floor(p_BLV), 0)
        share_BLK = blocks(p_BLV).sum(dim=-1)
        total_BL1 = share_BLK.sum(dim=-1, keepdim=True)
        return p_BLV.div_(total_BL1), share_BLK.div_(total_BL1)

    def floor(self, p_BLV: Tensor) -> Tensor:
        """The least probability that passes: [B, L, 1]."""
        floor_BL1 = p_BLV.new_zeros((*p_BLV.shape[:-1], 1))
        best_BLK = None
        if self.top_k is not None and self.top_k < p_BLV.shape[-1]:
            best_BLK = p_BLV.topk(self.top_k, dim=-1).values
            floor_BL1 = best_BLK[..., -1:]
        if self.top_p is not None and self.top_p < 1:
            # each filter keeps the likeliest, so that this one need not look past the top k
            if best_BLK is None:
                floor_BL1 = least_of(p_BLV, self.top_p)
            else:
                floor_BL1 = last_of(best_BLK, self.top_p)
        if self.min_p:
            floor_BL1 = floor_BL1.maximum(self.min_p * p_BLV.amax(dim=-1, keepdim=True))
        return floor_BL1


def least_of(p_BLV: Tensor, mass: float) -> Tensor:
    """The least of the likeliest that have `mass` together: [B, L, 1].

    Only positions whose first few tokens have less are sorted, which are few once a canvas has
    begun to settle; asking which is a wait for the device.
    """
    best_BLK = p_BLV.topk(min(FEW, p_BLV.shape[-1]), dim=-1).values
    least_BL1 = last_of(best_BLK, mass)
    unsure_BL = best_BLK.sum(dim=-1, dtype=torch.float64) < mass
    if unsure_BL.any():
        sorted_NV = p_BLV[unsure_BL].sort(dim=-1, descending=True).values
        least_BL1[unsure_BL] = last_of(sorted_NV, mass)
    return least_BL1


def last_of(best_BLK: Tensor, mass: float) -> Tensor:
    """Of descending numbers the last one that those before it leave short of `mass`: [B, L, 1]."""
    before_BLK = best_BLK.cumsum(dim=-1, dtype=torch.float64) - best_BLK
    return best_BLK.gather(-1, (before_BLK < mass).sum(dim=-1, keepdim=True) - 1)
