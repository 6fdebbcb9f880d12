"""Rounding to MXFP4: values of E2M1 with a power of two for each 32 of them (OCP, rev. 1.0)."""

from __future__ import annotations

import torch
from torch import Tensor

# G groups of g = 32 values

BIAS = 127
SMALLEST, LARGEST = -126, 127  # exponents whose powers are normal float32 numbers
TOP = 2  # the exponent of the largest E2M1 value, 6
UP = (0, 1)  # above the exponent that keeps the largest value; the next one never clips


def fit(w_Gg: Tensor, h_Gg: Tensor | None) -> tuple[Tensor, Tensor]:
    """Codes [G, g] in 0..15 as float32 and exponents plus 127, uint8 [G]; h weighs the errors.

    The standard takes the exponent of the largest value, which clips what lies above 6; here the
    next one is tried, too, and a group takes what leaves the smaller error.
    """
    size_Gg = w_Gg.abs()
    _, power_G = torch.frexp(size_Gg.amax(dim=1))  # the peak is in [2^(power - 1), 2^power)
    first_G = power_G - 1 - TOP
    best_G = torch.full_like(size_Gg[:, 0], torch.inf)
    chosen_G = torch.zeros_like(first_G)
    for up in UP:
        exponent_G = (first_G + up).clamp(SMALLEST, LARGEST)
        scale_G1 = torch.exp2(exponent_G.float())[:, None]
        off_Gg = value(code(size_Gg / scale_G1)).mul_(scale_G1).sub_(size_Gg).square_()
        off_G = (off_Gg if h_Gg is None else off_Gg.mul_(h_Gg)).sum(dim=1)
        chosen_G = torch.where(off_G < best_G, exponent_G, chosen_G)
        best_G = torch.minimum(off_G, best_G)
    code_Gg = code(size_Gg / torch.exp2(chosen_G.float())[:, None])
    signed_Gg = code_Gg.add_((w_Gg < 0).float(), alpha=8)
    return signed_Gg, (chosen_G + BIAS).to(torch.uint8)


def code(size: Tensor) -> Tensor:
    """The code 0..7 nearest to a size: the grid's step is 1/2 below 2, 1 below 4, then 2.

    Outside its own range each of the three roundings gives a larger code than the right one.
    """
    fine, middle = (size * 2).round_(), size.round().add_(2)
    coarse = (size / 2).round_().add_(4).clamp_max_(7)
    return torch.minimum(torch.minimum(fine, middle), coarse)


def value(code: Tensor) -> Tensor:
    """0, 1/2, 1, 3/2, 2, 3, 4, 6: what the codes 0..7 stand for."""
    return torch.maximum(torch.maximum(code / 2, code - 2), code * 2 - 8)
