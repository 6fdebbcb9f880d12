"""What happens to rows between the products: the definition, in plain torch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from canvaslm.kernels.rows import Kind, Rows
from canvaslm.kernels.weight import Weight

# T tokens, K inputs, D hidden, I intermediate, J heads joined, H heads, d head, E experts

LARGEST = 127


class ReferenceRows:
    """`RowOperations`. Rows are kept as they are: data [T, K], int8 with a scale [T]."""

    def rows(self, x_TK: Tensor, kind: Kind) -> Rows:
        count, width = x_TK.shape
        if kind != "int8":
            return Rows(kind, count, width, x_TK.to(getattr(torch, kind)).contiguous())
        scale_T = x_TK.abs().amax(dim=-1) / LARGEST if width else x_TK.new_zeros(count)
        unit_T1 = torch.where(scale_T > 0, scale_T, 1)[:, None]
        return Rows(kind, count, width, (x_TK / unit_T1).round().to(torch.int8), scale_T)

    def norm(self, h_TD: Tensor, weight_D: Tensor | None, *, eps: float, kind: Kind) -> Rows:
        return self.rows(self.normed(h_TD, weight_D, eps=eps), kind)

    def normed(self, h_TD: Tensor, weight_D: Tensor | None, *, eps: float) -> Tensor:
        return F.rms_norm(h_TD, h_TD.shape[-1:], weight_D, eps)

    def add_normed(
        self, h_TD: Tensor, x_TD: Tensor, weight_D: Tensor, *, eps: float, scalar: float = 1.0
    ) -> None:
        h_TD += self.normed(x_TD, weight_D, eps=eps)
        h_TD *= scalar

    def add_both(
        self,
        h_TD: Tensor,
        one_TD: Tensor,
        other_TD: Tensor,
        weights: tuple[Tensor, Tensor, Tensor],
        *,
        eps: float,
        scalar: float = 1.0,
    ) -> None:
        x_TD = self.normed(one_TD, weights[0], eps=eps) + self.normed(other_TD, weights[1], eps=eps)
        self.add_normed(h_TD, x_TD, weights[2], eps=eps, scalar=scalar)

    def gate(self, gate_TI: Tensor, up_TI: Tensor, kind: Kind) -> Rows:
        return self.rows(F.gelu(gate_TI, approximate="tanh") * up_TI, kind)

    def turn(
        self,
        q_TJ: Tensor,
        k_TJ: Tensor,
        v_TJ: Tensor,
        *,
        q_norm_d: Tensor,
        k_norm_d: Tensor,
        cos_Th: Tensor,
        sin_Th: Tensor,
        eps: float,
        q_out_HTd: Tensor,
        k_out_GTd: Tensor,
        v_out_GTd: Tensor,
    ) -> None:
        (heads, count, size), kv_heads = q_out_HTd.shape, len(k_out_GTd)
        q = q_TJ.view(count, heads, size).transpose(0, 1)
        k, v = (x_TJ.view(count, kv_heads, size).transpose(0, 1) for x_TJ in (k_TJ, v_TJ))
        q_out_HTd.copy_(turned(self.normed(q, q_norm_d, eps=eps), cos_Th, sin_Th))
        k_out_GTd.copy_(turned(self.normed(k, k_norm_d, eps=eps), cos_Th, sin_Th))
        v_out_GTd.copy_(self.normed(v, None, eps=eps))

    def route(
        self,
        h_TD: Tensor,
        router_ED: Tensor,
        expert_scale_E: Tensor,
        *,
        top_k: int,
        eps: float,
    ) -> tuple[Tensor, Tensor]:
        scores_TE = F.linear(self.normed(h_TD, None, eps=eps), router_ED)
        sorted_TE, order_TE = scores_TE.sort(dim=-1, descending=True, stable=True)
        index_TX = order_TE[:, :top_k]
        # the chosen probabilities over their sum are the softmax of the chosen scores alone
        weights_TX = sorted_TE[:, :top_k].softmax(dim=-1)
        return weights_TX * expert_scale_E[index_TX], index_TX.int()

    def embed(self, ids_T: Tensor, table: Weight, *, scale: float) -> Tensor:
        picked = None if table.scale is None else table.scale[ids_T]
        return Weight(table.format, table.data[ids_T], picked).dequantised() * scale


def turned(x_HTd: Tensor, cos_Th: Tensor, sin_Th: Tensor) -> Tensor:
    """Pairs (i, i + d/2) of every head, turned."""
    first, second = x_HTd.chunk(2, dim=-1)
    return torch.cat((first * cos_Th - second * sin_Th, second * cos_Th + first * sin_Th), dim=-1)
