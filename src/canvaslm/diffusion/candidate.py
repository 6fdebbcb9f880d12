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


def inverse_cdf(p_BLV: Tensor, share_BLK: Tensor, uniform_BL: Tensor) -> Tensor:
    """The token whose share of the unit interval holds `uniform`: int64 [B, L].

    In two levels, a block of the vocabulary by `share`, the sums of p over blocks, and then a token
    in it, so that no cumulative sum runs over the whole vocabulary; sums are float64. A token of
    probability 0 is never drawn.
    """
    p_BLKW = blocks(p_BLV)
    upper_BLK = share_BLK.cumsum(dim=-1, dtype=torch.float64)
    target_BL1 = uniform_BL[..., None] * upper_BLK[..., -1:]
    block_BL1 = torch.searchsorted(upper_BLK, target_BL1, right=True)
    width_BL1 = share_BLK.gather(-1, block_BL1)
    left_BL1 = (upper_BLK.gather(-1, block_BL1) - target_BL1) / width_BL1  # of the block, (0, 1]
    upper_BLW = take_block(p_BLKW, block_BL1).cumsum(dim=-1, dtype=torch.float64)
    target_BL1 = (1 - left_BL1).clamp_(0, BELOW_ONE) * upper_BLW[..., -1:]
    token_BL1 = torch.searchsorted(upper_BLW, target_BL1, right=True)
    return (block_BL1 * p_BLKW.shape[-1] + token_BL1)[..., 0]


def take_block(x_BLKW: Tensor, block_BL1: Tensor) -> Tensor:
    """Block `block` of every position: [B, L, W]."""
    batch, length, count, width = x_BLKW.shape
    first = torch.arange(0, batch * length * count, count, device=x_BLKW.device)
    rows = x_BLKW.reshape(-1, width).index_select(0, first + block_BL1.flatten())
    return rows.view(batch, length, width)
