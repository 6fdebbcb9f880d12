"""Logits seen by class: how much each class weighs, its shift, and a token within it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from canvaslm.control.constraint.chain import Floats
from canvaslm.control.constraint.lattice import Places
from canvaslm.control.constraint.machine import Ints, Machine
from canvaslm.diffusion.candidate import blocks, inverse_cdf

# L positions, V vocabulary, C classes, A allowed tokens, G classes of one size, W tokens in each

SPLIT = 1024  # tokens; classes from this size on are searched in two levels
FEW = 8  # a vocabulary this many times what is allowed is rewritten, not gone through by class


@dataclass(frozen=True, kw_only=True, eq=False)
class Columns:
    """The allowed tokens of a machine, class after class, the smallest classes first, so that those
    of one size make a rectangle and go through one call. A last class, `classes`, stands for a free
    position: it holds all tokens, and is not weighed.

    class_of_V, label_V
                the class of each token, here and on the device: int32 [V]
    token_A     their ids, ascending within a class, then all ids: int64 [A + V]
    label_R     the classes in that order, without class 0 and those without tokens: int64 [R]
    groups      for each size: tokens in a class, and how many classes
    first_C, size_C
                where the tokens of a class lie in `token_A`: int64 [C + 1]
    """

    class_of_V: Ints
    label_V: Tensor
    token_A: Tensor
    label_R: Places
    groups: tuple[tuple[int, int], ...]
    first_C: Places
    size_C: Places
    classes: int

    def weigh(self, z_LV: Tensor) -> tuple[Floats, Floats]:
        """For each class log sum exp z, and the largest z: two of [L, C], -inf for nothing."""
        both_2LR = z_LV.new_empty(2, len(z_LV), len(self.label_R))
        column = rank = 0
        for width, count in self.groups:
            token_W = self.token_A[column : column + count * width]
            to_2LG = both_2LR[:, :, rank : rank + count]
            for rows in _blocks(len(z_LV), len(token_W), z_LV.device):
                x_LGW = z_LV[rows].index_select(1, token_W).view(-1, count, width)
                _weigh(x_LGW, to_2LG[:, rows])
            column, rank = column + count * width, rank + count
        both_2LC = np.full((2, len(z_LV), self.classes), -math.inf)
        both_2LC[:, :, self.label_R] = both_2LR.cpu().numpy()
        return both_2LC[0], both_2LC[1]

    def shift(self, z_LV: Tensor, shift_LC: Floats) -> None:
        """Add to every logit the shift of its class, in place; class 0 becomes -inf."""
        shift_LC[:, 0] = -math.inf
        by_class_LC = torch.from_numpy(shift_LC).to(z_LV)
        allowed = len(self.token_A) - z_LV.shape[1]
        if allowed < z_LV.shape[1] // FEW:
            token_A = self.token_A[:allowed]
            kept_LA = z_LV[:, token_A] + by_class_LC[:, self.label_V[token_A].long()]
            z_LV.fill_(-math.inf)
            z_LV[:, token_A] = kept_LA
            return
        for rows in _blocks(len(z_LV), z_LV.shape[1], z_LV.device):
            z_LV[rows] += by_class_LC[rows].index_select(1, self.label_V)

    def best(self, z_LV: Tensor, label_L: Places, peak_L: Floats) -> Tensor:
        """The likeliest token of each position's class, of equal ones the lowest id: int64 [L].

        `peak` is its logit: looking for it is far quicker than an argmax.
        """
        token_L = self._first(label_L)
        several_L = self.size_C[label_L] > 1
        for rows in _blocks(len(z_LV), z_LV.shape[1], z_LV.device):
            if several_L[rows].any():
                equal_RV = z_LV[rows] == torch.from_numpy(peak_L[rows, None]).to(z_LV)
                row_H, id_H = np.divmod(np.flatnonzero(equal_RV.cpu().numpy()), z_LV.shape[1])
                label_H = label_L[rows][row_H]
                fits_H = (self.class_of_V[id_H] == label_H) | (label_H == self.classes)
                row_N, first_N = np.unique(row_H[fits_H], return_index=True)
                token_L[rows.start + row_N] = torch.from_numpy(id_H[fits_H][first_N]).to(token_L)
        return token_L

    def draw(self, z_LV: Tensor, label_L: Places, uniform_L: Tensor) -> Tensor:
        """A token of each position's class in proportion to e^z: int64 [L].

        By inverse distribution function over ascending ids, from one number in [0, 1) each.
        """
        token_L = self._first(label_L)
        for places, token_W in self._several(label_L, z_LV):
            z_PW = _filled(_pick(z_LV, places, token_W), -math.inf)
            base_P1 = z_PW.amax(dim=-1, keepdim=True).clamp(min=torch.finfo(z_PW.dtype).min)
            p_PW = z_PW.sub_(base_P1).exp_()
            share_PK = blocks(p_PW).sum(dim=-1)
            chosen = inverse_cdf(p_PW[None], share_PK[None], uniform_L[places][None])
            token_L[places] = token_W[chosen[0]]
        return token_L

    def _first(self, label_L: Places) -> Tensor:
        return self.token_A[torch.from_numpy(self.first_C[label_L]).to(self.token_A.device)]

    def _several(self, label_L: Places, x_LV: Tensor) -> Iterator[tuple[Places, Tensor]]:
        """The classes of more than one token: positions that have each, and its tokens."""
        for label in np.unique(label_L[self.size_C[label_L] > 1]):
            first, size = self.first_C[label], self.size_C[label]
            places = np.flatnonzero(label_L == label)
            for rows in _blocks(len(places), size, x_LV.device):
                yield places[rows], self.token_A[first : first + size]


def _weigh(x_LGW: Tensor, to_2LG: Tensor) -> None:
    """Log sum exp and the largest, over W; each sum is scaled for itself, so that none underflows.
    Overwrites x."""
    mass_LG, peak_LG = to_2LG
    torch.amax(x_LGW, dim=-1, out=peak_LG)
    base_LG = peak_LG.clamp(min=torch.finfo(x_LGW.dtype).min)
    torch.sum(x_LGW.sub_(base_LG[..., None]).exp_(), dim=-1, out=mass_LG)
    mass_LG.log_().add_(base_LG)


def _pick(x_LV: Tensor, places: Places, token_W: Tensor) -> Tensor:
    """Some columns of some rows, [P, W]; neighbouring rows are not copied whole before."""
    runs = np.split(places, np.flatnonzero(np.diff(places) != 1) + 1)
    return torch.cat([x_LV[run[0] : run[-1] + 1].index_select(1, token_W) for run in runs])


def _filled(x_PW: Tensor, value: float) -> Tensor:
    """With columns added where their number has to split well into blocks."""
    width = x_PW.shape[1]
    return x_PW if width < SPLIT else pad(x_PW, (0, -width % SPLIT), value=value)


def _blocks(length: int, width: int, device: torch.device) -> list[slice]:
    """Rows to take at once: such that they stay in a CPU's cache, or fill a GPU."""
    rows = max(1, (1 << 18 if device.type == "cpu" else 1 << 27) // width)
    return [slice(first, min(first + rows, length)) for first in range(0, length, rows)]


@lru_cache(maxsize=16)
def columns(machine: Machine, device: torch.device) -> Columns:
    """The columns of a machine, kept for the last 16."""
    size_C = np.bincount(machine.class_of_V, minlength=machine.classes)
    size_C[0] = 0
    label_R = np.argsort(size_C, kind="stable")
    label_R = label_R[size_C[label_R] > 0]
    rank_C = np.full(machine.classes, -1)
    rank_C[label_R] = np.arange(len(label_R))
    rank_V = rank_C[machine.class_of_V]
    token_A = np.argsort(rank_V, kind="stable")[len(rank_V) - size_C.sum() :]
    first_C = np.zeros_like(size_C)
    first_C[label_R] = np.cumsum(size_C[label_R]) - size_C[label_R]
    widths, counts = np.unique(size_C[label_R], return_counts=True)
    return Columns(
        class_of_V=machine.class_of_V,
        label_V=torch.from_numpy(machine.class_of_V).to(device),
        token_A=torch.from_numpy(np.append(token_A, np.arange(len(rank_V)))).to(device),
        label_R=label_R,
        groups=tuple(zip(widths.tolist(), counts.tolist(), strict=True)),
        first_C=np.append(first_C, len(token_A)),
        size_C=np.append(size_C, len(rank_V)),
        classes=machine.classes,
    )
