"""Rotary position embedding: inverse frequencies, their angles, and the turn of each pair."""

from __future__ import annotations

import torch
from torch import Tensor

from canvaslm.model.config import LayerConfig


def inverse_frequencies(layer: LayerConfig) -> Tensor:
    """Angular step per position of each pair, float32 [head_dim / 2].

    The exponents are built over the whole head; all but the first `partial` pairs never turn.
    """
    rope, head_dim = layer.rope, layer.head_dim
    turning = int(rope.partial * head_dim // 2)
    exponents = torch.arange(0, 2 * turning, 2, dtype=torch.float32) / head_dim
    still = torch.zeros(head_dim // 2 - turning)
    return torch.cat((1.0 / rope.theta**exponents, still))


def angles(inverse_F: Tensor, positions_BN: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine, float32 [B, N, 1, 2F], of every position's angle."""
    angle_BNF = positions_BN[..., None].float() * inverse_F
    angle_BN1D = torch.cat((angle_BNF, angle_BNF), dim=-1)[:, :, None, :]
    return angle_BN1D.cos(), angle_BN1D.sin()


def rotate(x_BNHD: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the pairs (i, i + D/2) of every head by its position's angle."""
    first, second = x_BNHD.chunk(2, dim=-1)
    return x_BNHD * cos + torch.cat((-second, first), dim=-1) * sin
