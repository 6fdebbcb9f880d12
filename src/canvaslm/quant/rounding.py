"""A matrix of floats to a `Weight`, a few rows at a time, and how far its outputs move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from canvaslm.errors import TensorError
from canvaslm.kernels.weight import Weight
from canvaslm.quant import integers, mxfp4
from canvaslm.quant.integers import INT4, INT8
from canvaslm.quant.scheme import RoundedFormat

# N outputs, K inputs, R rows of a piece, G groups, g values of a group

PIECE = 1 << 16  # values at once: they stay in a core's cache


class Matrix(Protocol):
    """A tensor [N, K], or what reads rows of one when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: slice, /) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class Loss:
    """Sums over a matrix: of h (w - rounded)^2, and of h w^2. Those of several may be added."""

    off: float = 0.0
    whole: float = 0.0

    def __add__(self, other: Loss) -> Loss:
        return Loss(off=self.off + other.off, whole=self.whole + other.whole)

    @property
    def relative(self) -> float:
        """Expected |error| / |output|, root mean square, for inputs that are uncorrelated."""
        return float((self.off / self.whole) ** 0.5) if self.whole > 0 else 0.0


def round_matrix(
    w_NK: Matrix,
    format: RoundedFormat,
    *,
    group: int | None = None,
    importance_K: Tensor | None = None,
    name: str = "a matrix",
) -> tuple[Weight, Loss]:
    """Round w so that its outputs change least, and say how much that is.

    Each scale minimises sum_k h_k (w_k - rounded_k)^2 over its group; `importance` h [K] is the
    mean square of every input, 1 where there is none. `group` divides K, for int4 (32 or 64) and
    mxfp4 (32). Raises TensorError, naming the tensor and the place, for a NaN or infinity.
    """
    rows, width = w_NK.shape
    per_group = width if format == "int8" else group
    assert per_group is not None
    assert width % per_group == 0
    data = torch.empty(rows, width if format == "int8" else width // 2, dtype=DATA[format])
    scale = torch.empty(rows, width // per_group, dtype=SCALE[format])
    loss = Loss()
    step = max(1, PIECE // max(1, width))
    for first in range(0, rows, step):
        part_RK = w_NK[first : first + step].float()
        check_finite(part_RK, name, shape=(rows, width), first=first * width)
        part = Piece(part_RK, per_group, importance_K)
        data[first : first + step], scale[first : first + step] = part.rounded(format)
        loss += part.loss()
    if format == "int8":
        return Weight(format, data, scale[:, 0].float()), loss
    return Weight(format, data, scale), loss


DATA = {"int8": torch.int8, "int4": torch.uint8, "mxfp4": torch.uint8}
# An int8 scale is a bfloat16 number in a float32, so a file in either type holds the same one.
SCALE = {"int8": torch.bfloat16, "int4": torch.bfloat16, "mxfp4": torch.uint8}


class Piece:
    """Some rows, in groups: rounded first, measured then."""

    def __init__(self, w_RK: Tensor, group: int, importance_K: Tensor | None) -> None:
        self.rows, self.w_Gg = w_RK.shape[0], w_RK.reshape(-1, group)
        self.h_Gg = None
        if importance_K is not None:
            self.h_Gg = importance_K.float().view(-1, group).repeat(self.rows, 1)
        self.kept_Gg = self.w_Gg

    def rounded(self, format: RoundedFormat) -> tuple[Tensor, Tensor]:
        """Data and scales of the rows."""
        if format == "mxfp4":
            code_Gg, scale_G = mxfp4.fit(self.w_Gg, self.h_Gg)
            size_Gg = mxfp4.value(code_Gg.remainder(8))
            unit_G = torch.exp2(scale_G.float() - mxfp4.BIAS)
            self.kept_Gg = (size_Gg * unit_G[:, None]).copysign_(self.w_Gg)
        else:
            code_Gg, scale_G = integers.fit(
                self.w_Gg, self.h_Gg, INT8 if format == "int8" else INT4
            )
            self.kept_Gg = code_Gg * scale_G.float()[:, None]
        scale_RG = scale_G.view(self.rows, -1)
        if format == "int8":
            return code_Gg.to(torch.int8).view(self.rows, -1), scale_RG
        if format == "int4":
            code_Gg.add_(8)
        return packed(code_Gg.to(torch.uint8).view(self.rows, -1)), scale_RG

    def loss(self) -> Loss:
        off_Gg, whole_Gg = (self.kept_Gg - self.w_Gg).square_(), self.w_Gg.square()
        if self.h_Gg is not None:
            off_Gg.mul_(self.h_Gg)
            whole_Gg.mul_(self.h_Gg)
        return Loss(off=float(off_Gg.sum()), whole=float(whole_Gg.sum()))


def packed(code_RK: Tensor) -> Tensor:
    """Two codes of 0..15 in a byte, the earlier in the low half: uint8 [R, K / 2]."""
    return code_RK[:, 0::2] | (code_RK[:, 1::2] << 4)


def check_finite(values: Tensor, name: str, *, shape: tuple[int, ...], first: int = 0) -> None:
    """Raises TensorError, with the place, for a NaN or infinity among a tensor's `values` from its
    number `first` on."""
    if bool(torch.isfinite(values.sum())) or bool(values.isfinite().all()):
        return
    index = int((~values.isfinite()).flatten().nonzero()[0, 0])
    place = [int(part) for part in torch.unravel_index(torch.tensor(first + index), shape)]
    raise TensorError(
        f"{name} holds {float(values.flatten()[index])} at {place}, which no format can round: "
        "the checkpoint is damaged or was trained to divergence; use another one"
    )
