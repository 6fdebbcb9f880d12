"""A matrix as the kernels read it: row by row, as it lies in the file, nothing repacked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from canvaslm.errors import ParameterError

# N outputs, K inputs, g inputs that share a scale

Format = Literal["float32", "bfloat16", "int8", "int4", "mxfp4"]

E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""What the low three bits of an MXFP4 code stand for; the fourth is the sign."""

GROUPS = (32, 64)


@dataclass(frozen=True, eq=False)
class Weight:
    """A matrix [N, K] whose rows are contiguous.

    format     data           scale
    float32    float32 [N,K]  None
    bfloat16   bfloat16 [N,K] None
    int8       int8 [N,K]     float32 [N]:          w = q * scale
    int4       uint8 [N,K/2]  bfloat16 [N,K/group]: w = (q - 8) * scale
    mxfp4      uint8 [N,K/2]  uint8 [N,K/32]:       w = e2m1(q) * 2^(scale - 127)

    The low half of a byte is the earlier input. int4 is compressed-tensors' `pack-quantized`, mxfp4
    the OCP standard (rev. 1.0, section 5.2).
    """

    format: Format
    data: Tensor
    scale: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """N outputs and K inputs."""
        rows, width = self.data.shape
        return rows, width * 2 if self.format in ("int4", "mxfp4") else width

    @property
    def group(self) -> int | None:
        """Inputs that share a scale; None where a whole row does, or there is none."""
        if self.scale is None or self.scale.ndim == 1:
            return None
        return self.shape[1] // self.scale.shape[1]

    @property
    def bytes(self) -> int:
        scale = 0 if self.scale is None else self.scale.nbytes
        return self.data.nbytes + scale

    def dequantised(self) -> Tensor:
        """float32 [N, K]."""
        if self.format in ("float32", "bfloat16"):
            return self.data.float()
        assert self.scale is not None
        if self.format == "int8":
            return self.data.float() * self.scale[:, None]
        codes = torch.stack((self.data & 15, self.data >> 4), dim=-1).flatten(1)
        if self.format == "int4":
            values, scale = codes.float() - 8, self.scale.float()
        else:
            table = torch.tensor((*E2M1, *(-value for value in E2M1)))
            values, scale = table[codes.long()], torch.exp2(self.scale.float() - 127)
        rows, groups = scale.shape
        grouped = values.view(rows, groups, values.shape[1] // groups) * scale[:, :, None]
        return grouped.flatten(1)

    def __post_init__(self) -> None:
        rows, width = self.data.shape
        if not self.data.is_contiguous():
            raise ParameterError("a weight must be contiguous, row by row: call .contiguous()")
        if self.format == "int8":
            wanted: tuple[object, ...] = (torch.int8, torch.float32, [(rows,)])
        elif self.format == "int4":
            wanted = (torch.uint8, torch.bfloat16, [(rows, width * 2 // g) for g in GROUPS])
        elif self.format == "mxfp4":
            wanted = (torch.uint8, torch.uint8, [(rows, width * 2 // 32)])
        else:
            wanted = (getattr(torch, self.format), None, [None])
        scale = self.scale
        found = (
            self.data.dtype,
            None if scale is None else scale.dtype,
            None if scale is None else tuple(scale.shape),
        )
        if found[:2] != wanted[:2] or found[2] not in wanted[2]:  # type: ignore[operator]
            raise ParameterError(
                f"a {self.format} weight [{rows}, {width}] needs data and scale of {wanted}, got "
                f"{found}"
            )
        group = self.group
        if group is not None and self.shape[1] % group:
            raise ParameterError(
                f"{self.shape[1]} inputs do not divide into groups of {group}: use groups of 32, "
                "or int8"
            )
