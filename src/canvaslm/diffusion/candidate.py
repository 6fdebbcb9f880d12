"""A token for every position, drawn from its distribution with one uniform number."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

# B batch, L canvas, V vocabulary, K blocks of W tokens

BELOW_ONE = 1 - 2.0**-32


@cache
def block_width(vocab_size: int) -> int:
    """The divisor W of the vocabulary nearest above its square root."""
    root = math.isqrt(vocab_size - 1) + 1
    return next(width for width in range(root, vocab_size + 1) if vocab_size % width == 0)


def blocks(x_BLV: Tensor) -> Tensor:
    """A view of the vocabulary in K blocks of W tokens: [B, L, K, W]."""
    return x_BLV.view(*x_BLV.shape[:-1], -1, block_width(x_BLV.shape[-1]))


def inverse_cdf(p_BLV: Tensor, uniform_BL: Tensor) -> Tensor:
    """The token whose share of the unit interval holds `uniform`: int64 [B, L].

    In two levels, a block of the vocabulary and then a token in it, so that no cumulative sum runs
    over the whole vocabulary; sums are float64. A token of probability 0 is never drawn.
    """
    p_BLKW = blocks(p_BLV)
    block_BL, rest_BL = find(p_BLKW.sum(dim=-1), uniform_BL)
    p_BLW = take_block(p_BLKW, block_BL)
    token_BL, _ = find(p_BLW, rest_BL)
    return block_BL * p_BLW.shape[-1] + token_BL


def find(weight_BLK: Tensor, uniform_BL: Tensor) -> tuple[Tensor, Tensor]:
    """The entry in which `uniform` of the total falls, and how far into it, in [0, 1)."""
    upper_BLK = weight_BLK.cumsum(dim=-1, dtype=torch.float64)
    target_BL1 = uniform_BL[..., None] * upper_BLK[..., -1:]
    index_BL1 = (upper_BLK <= target_BL1).sum(dim=-1, keepdim=True)
    width_BL1 = weight_BLK.gather(-1, index_BL1)
    lower_BL1 = upper_BLK.gather(-1, index_BL1) - width_BL1
    within_BL1 = (target_BL1 - lower_BL1) / width_BL1
    return index_BL1[..., 0], within_BL1[..., 0].clamp(0, BELOW_ONE)


def take_block(x_BLKW: Tensor, block_BL: Tensor) -> Tensor:
    """Block `block` of every position: [B, L, W]."""
    index_BL1W = block_BL[..., None, None].expand(-1, -1, 1, x_BLKW.shape[-1])
    return x_BLKW.gather(-2, index_BL1W)[..., 0, :]
