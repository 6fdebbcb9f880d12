"""Rounding to int8 and int4: every scale is searched for, then fitted, and never by the peak alone.

A group's values w become q * s with whole q. For fixed q the best s has a closed form, the weighted
least squares s = sum(h w q) / sum(h q^2), which leaves an error of sum(h w^2) - s sum(h w q). So
each candidate costs a rounding and two sums, and the one that leaves the least is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# G groups, g values of a group

TINY = 1e-30
"""A group whose largest value is smaller is all zeros."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Whole numbers from `low` to `high`; `reach` are the places tried for a group's largest value.

    The largest value is given the sign of `low`, so int4 uses its -8: then scales may be negative.
    """

    low: int
    high: int
    reach: tuple[float, ...]


# Measured on a normal matrix, groups of 64: 9.4 % error with the peak at -8 alone, 9.02 % with
# these, 8.99 % with 120 candidates. Beyond 8 the peak is clipped and the others gain.
INT4 = Grid(low=-8, high=7, reach=(6.0, 6.5, 7.0, 7.5, 8.0, 8.5, 9.0))
INT8 = Grid(low=-127, high=127, reach=(127.0, 133.0, 140.0))


def fit(w_Gg: Tensor, h_Gg: Tensor | None, grid: Grid) -> tuple[Tensor, Tensor]:
    """Whole numbers [G, g] in float32 and their scales, bfloat16 [G]; h weighs the errors."""
    scale_G = best_scale(w_Gg, h_Gg, grid).bfloat16()
    return nearest(w_Gg, reciprocal(scale_G.float()), grid, torch.empty_like(w_Gg)), scale_G


def best_scale(w_Gg: Tensor, h_Gg: Tensor | None, grid: Grid) -> Tensor:
    high_G, low_G = w_Gg.amax(dim=1), w_Gg.amin(dim=1)
    peak_G = torch.where(-low_G > high_G, low_G, high_G)
    step_G = reciprocal(peak_G)
    hw_Gg = w_Gg if h_Gg is None else w_Gg * h_Gg
    q_Gg, product_Gg = torch.empty_like(w_Gg), torch.empty_like(w_Gg)
    gain_G, scale_G = torch.full_like(peak_G, -1.0), torch.zeros_like(peak_G)
    for reach in grid.reach:
        nearest(w_Gg, step_G * -reach, grid, q_Gg)
        along_G = torch.mul(q_Gg, hw_Gg, out=product_Gg).sum(dim=1)
        torch.mul(q_Gg, q_Gg, out=product_Gg)
        if h_Gg is not None:
            product_Gg.mul_(h_Gg)
        fitted_G = along_G / product_Gg.sum(dim=1).clamp_min(TINY)
        found_G = along_G * fitted_G
        better_G = found_G > gain_G
        gain_G = torch.where(better_G, found_G, gain_G)
        scale_G = torch.where(better_G, fitted_G, scale_G)
    return scale_G


def nearest(w_Gg: Tensor, inverse_G: Tensor, grid: Grid, out_Gg: Tensor) -> Tensor:
    return torch.mul(w_Gg, inverse_G[:, None], out=out_Gg).round_().clamp_(grid.low, grid.high)


def reciprocal(x_G: Tensor) -> Tensor:
    """1 / x, and 0 for what is as good as 0."""
    return torch.where(x_G.abs() < TINY, 0.0, 1 / x_G)
