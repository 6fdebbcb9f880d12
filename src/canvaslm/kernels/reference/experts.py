"""A mixture of experts: the definition, in plain torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from canvaslm.kernels.ops import Experts
from canvaslm.kernels.reference.linear import ReferenceLinear
from canvaslm.kernels.reference.rows import ReferenceRows
from canvaslm.kernels.rows import Rows
from canvaslm.kernels.weight import Weight

# T tokens, D hidden, E experts, X experts per token, I intermediate, R rows of one expert


class ReferenceExperts:
    """`ExpertOperations`. Rows are kept as they are: data [T, K], int8 with a scale [T]."""

    def gather(
        self, gate: Sequence[Weight], up: Sequence[Weight], down: Sequence[Weight]
    ) -> Experts:
        return Experts(gate, up, down)

    def experts(self, x: Rows, experts: Experts, weights_TX: Tensor, index_TX: Tensor) -> Tensor:
        out_TD = torch.zeros(x.count, experts.down[0].shape[0])
        for expert in sorted(set(index_TX.flatten().tolist())):
            token_R, slot_R = (index_TX == expert).nonzero(as_tuple=True)
            out_RD = self.expert(picked(x, token_R), experts, expert)
            out_TD.index_add_(0, token_R, out_RD * weights_TX[token_R, slot_R, None])
        return out_TD

    def expert(self, x: Rows, experts: Experts, index: int) -> Tensor:
        """down(gelu(gate x) * up x) of one expert: [R, D]."""
        linear = ReferenceLinear().linear
        gate_RI, up_RI = linear(x, experts.gate[index]), linear(x, experts.up[index])
        return linear(ReferenceRows().gate(gate_RI, up_RI, x.kind), experts.down[index])


def picked(x: Rows, token_R: Tensor) -> Rows:
    """Some of the rows."""
    scale_R = None if x.scale is None else x.scale[token_R]
    return Rows(x.kind, len(token_R), x.width, x.data[token_R], scale_R)
