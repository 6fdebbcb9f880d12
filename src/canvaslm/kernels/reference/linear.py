"""Rows times a weight, defined in plain torch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from canvaslm.errors import ParameterError
from canvaslm.kernels.rows import Kind, Rows
from canvaslm.kernels.weight import E2M1, Format, Weight

# T tokens, K inputs, N outputs, G groups, g inputs of a group

PARTNERS: Mapping[Kind, tuple[Format, ...]] = {
    "float32": ("float32", "bfloat16"),
    "bfloat16": ("bfloat16", "int8", "int4", "mxfp4"),
    "int8": ("int8", "int4", "mxfp4"),
}
"""The weights that each kind of rows goes with."""


class ReferenceLinear:
    """`LinearOperations` in plain torch; rows hold tensors [T, K]."""

    def linear(self, x: Rows, weight: Weight) -> Tensor:
        check(x, weight)
        if x.kind != "int8":
            return F.linear(x.data.float(), weight.dequantised())
        assert x.scale is not None
        return _grouped(x.data, weight) * x.scale[:, None]


def check(x: Rows, weight: Weight) -> None:
    """Raises ParameterError where rows and weight do not go together."""
    if weight.format not in PARTNERS[x.kind]:
        raise ParameterError(
            f"{x.kind} rows do not go with a {weight.format} weight, but with "
            f"{', '.join(PARTNERS[x.kind])}: round them to another kind"
        )
    if x.width != weight.shape[1]:
        raise ParameterError(
            f"rows of {x.width} numbers do not go with a weight {list(weight.shape)}: give rows "
            f"of {weight.shape[1]}"
        )


def _grouped(q_TK: Tensor, weight: Weight) -> Tensor:
    """Exact sums of a group, in float64, rounded and added up in float32, one group at a time."""
    codes_NK, scale_NG = _codes(weight)
    groups = scale_NG.shape[1]
    y_TN = torch.zeros(q_TK.shape[0], codes_NK.shape[0])
    pairs = zip(q_TK.double().chunk(groups, 1), codes_NK.double().chunk(groups, 1), strict=True)
    for group, (q_Tg, codes_Ng) in enumerate(pairs):
        y_TN += F.linear(q_Tg, codes_Ng).float() * scale_NG[:, group]
    return y_TN


def _codes(weight: Weight) -> tuple[Tensor, Tensor]:
    """A weight's whole numbers [N, K] and their scales, float32 [N, G]; MXFP4's are taken twice."""
    assert weight.scale is not None
    if weight.format == "int8":
        return weight.data, weight.scale[:, None]
    codes_NK = torch.stack((weight.data & 15, weight.data >> 4), dim=-1).flatten(1)
    if weight.format == "int4":
        return codes_NK - 8.0, weight.scale.float()
    twice = 2 * torch.tensor((*E2M1, *(-value for value in E2M1)))
    return twice[codes_NK.long()], torch.exp2(weight.scale.float() - 128)
