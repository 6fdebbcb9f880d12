"""The mixture of experts: a router over the residual, and gated experts kept as stacked tensors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from canvaslm.model.config import ExpertsConfig

# T tokens, D hidden, E experts, K experts per token, I expert intermediate


class Router(nn.Module):
    """p = softmax(proj(rms(h) * scale / sqrt(D))); the top K renormalised, times expert_scale."""

    def __init__(self, hidden_size: int, experts: ExpertsConfig, *, eps: float) -> None:
        super().__init__()
        self.top_k, self.eps = experts.top_k, eps
        self.proj = nn.Linear(hidden_size, experts.count, bias=False)
        self.scale = nn.Parameter(torch.ones(hidden_size))
        self.expert_scale = nn.Parameter(torch.ones(experts.count))

    def forward(self, h_TD: Tensor) -> tuple[Tensor, Tensor]:
        """Weights [T, K] and expert indices [T, K] for the residual h [T, D]."""
        normed = F.rms_norm(h_TD.float(), h_TD.shape[-1:], eps=self.eps).to(h_TD.dtype)
        return self.choose(self.proj(normed * self.scale * h_TD.shape[-1] ** -0.5))

    def choose(self, scores_TE: Tensor) -> tuple[Tensor, Tensor]:
        """The same of the scores of all experts."""
        weights_TK, index_TK = scores_TE.softmax(dim=-1, dtype=torch.float32).topk(self.top_k)
        weights_TK = weights_TK / weights_TK.sum(dim=-1, keepdim=True)
        return weights_TK * self.expert_scale[index_TK], index_TK


class Experts(nn.Module):
    """E gated MLPs: gate rows first, then up, in one stacked tensor (the released layout)."""

    def __init__(self, hidden_size: int, experts: ExpertsConfig) -> None:
        super().__init__()
        self.count, size = experts.count, experts.intermediate_size
        self.gate_up = nn.Parameter(torch.empty(self.count, 2 * size, hidden_size))
        self.down = nn.Parameter(torch.empty(self.count, hidden_size, size))

    def forward(self, x_TD: Tensor, weights_TK: Tensor, index_TK: Tensor) -> Tensor:
        """Sum over each token's experts, weighted: [T, D]. Tokens are grouped by expert first."""
        top_k = index_TK.shape[1]
        order = index_TK.flatten().argsort(stable=True)  # [T * K], slots sorted by expert
        token = order // top_k
        counts = torch.bincount(index_TK.flatten(), minlength=self.count).tolist()
        rows = torch.split(x_TD[token], counts)
        outputs = [self.expert(e, rows_e) if counts[e] else rows_e for e, rows_e in enumerate(rows)]
        weighted = torch.cat(outputs) * weights_TK.flatten()[order, None]
        return torch.zeros_like(x_TD).index_add(0, token, weighted.to(x_TD.dtype))

    def expert(self, index: int, x_RD: Tensor) -> Tensor:
        """down(gelu(gate(x)) * up(x)) of one expert: [R, D]."""
        gate, up = F.linear(x_RD, self.gate_up[index]).chunk(2, dim=-1)
        return F.linear(F.gelu(gate, approximate="tanh") * up, self.down[index])
