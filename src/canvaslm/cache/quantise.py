"""K and V rounded to int8, a scale for each token of each head: half the memory of bfloat16."""

from __future__ import annotations

import torch
from torch import Tensor

from canvaslm.kernels.ops import QuantisedKV, Segment

# G kv heads, n tokens, d head

LARGEST = 127


def quantised(keys_Gnd: Tensor, values_Gnd: Tensor) -> QuantisedKV:
    """x = q * scale with scale = max |x| / 127 of a token's head: off by at most scale / 2."""
    (keys, key_scale), (values, value_scale) = rounded(keys_Gnd), rounded(values_Gnd)
    return QuantisedKV(keys, values, key_scale, value_scale)


def rounded(x_Gnd: Tensor) -> tuple[Tensor, Tensor]:
    x_Gnd = x_Gnd.float()
    scale_Gn = x_Gnd.abs().amax(dim=-1).div_(LARGEST)
    unit_Gn1 = scale_Gn.masked_fill(scale_Gn == 0, 1)[..., None]
    return (x_Gnd / unit_Gn1).round_().to(torch.int8), scale_Gn


def widened(segment: Segment, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """K and V as plain tensors: as they are, or what their numbers stand for."""
    if not isinstance(segment, QuantisedKV):
        return segment
    keys_Gnd = segment.keys * segment.key_scale[..., None]
    values_Gnd = segment.values * segment.value_scale[..., None]
    return keys_Gnd.to(dtype), values_Gnd.to(dtype)
