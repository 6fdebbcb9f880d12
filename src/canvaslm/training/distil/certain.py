"""Cross-entropy that also asks for certainty where the model is right already."""

from __future__ import annotations

from torch import Tensor

from canvaslm.model.transformer import Transformer

# B canvases, N their tokens, D hidden, T = B * N, V vocabulary


def certain_losses(
    model: Transformer, hidden_BND: Tensor, target_BN: Tensor, *, certainty: float
) -> tuple[Tensor, Tensor]:
    """Cross-entropy at `target`, and `certainty` times the entropy wherever the likeliest token is
    right; and the hits: both [T].

    An entropy-bound sampler accepts positions while their doubt adds up to little. Cross-entropy
    alone leaves 1 - p of it nearly free; the entropy is about log(1 / (1 - p)) times as steep. Only
    what is right is pressed (certainty forcing, arXiv 2509.26488), so doubt about errors stays.
    """
    logp_TV = model.unembed(hidden_BND).flatten(0, 1).log_softmax(dim=-1)
    target_T = target_BN.flatten()
    hit_T = logp_TV.argmax(dim=-1) == target_T
    loss_T = -logp_TV.gather(-1, target_T[:, None])[:, 0]
    doubt_T = -(logp_TV.exp() * logp_TV).sum(dim=-1)
    return loss_T + certainty * doubt_T * hit_T, hit_T
