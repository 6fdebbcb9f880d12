"""Not forgetting: an adapter is held to what its base says wherever it has nothing new to learn.

Rehearsing old tasks by their answers pulls an adapter towards those answers, whether the base knew
them or not. The divergence from the base
(learning without forgetting, arXiv 1606.09282) is 0 with a gradient of 0 until the new task moves
something, and then asks for that alone to be undone.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from canvaslm.adapter.wear import bare
from canvaslm.training.data.batch import Batch
from canvaslm.training.fused.network import Fused
from canvaslm.training.objective import Losses, Network, denoised, encoded

# B documents, N document tokens, R canvases, L canvas length, D hidden, T tokens, V vocabulary


def held_losses(
    model: Network, batch: Batch, *, recompute: bool = False, even: bool = False
) -> Losses:
    """The divergence in nats per token from the network without its adapter, in the place of both
    losses, that of canvases `batch.held * batch.weight` times. The arguments are those of
    `training.objective.losses`.

    On noised answers either is conditioned on its own first guess. Where canvases are walked, the
    adapter walks them, and both see what it left and what it had said. Raises ParameterError where
    no adapter is worn.
    """
    network = model.model if isinstance(model, Fused) else model
    with torch.no_grad(), bare(network):
        base_BND, base_recorded = encoded(model, batch)
    own_BND, own_recorded = encoded(model, batch)
    marked_T, causal = batch.causal_BN[:, 1:].flatten(), own_BND.new_zeros(())
    if even or bool(marked_T.any()):
        causal_T, _ = divergence(model, own_BND[:, :-1], base_BND[:, :-1], recompute=recompute)
        causal = (causal_T * marked_T).sum() / marked_T.sum().clamp(min=1)
    own_RLD, seen = denoised(model, batch, own_recorded, even=even)
    with torch.no_grad(), bare(network):
        base_RLD, _ = denoised(model, seen, base_recorded, even=even)
    canvas_T, likeliest_T = divergence(model, own_RLD, base_RLD, recompute=recompute)
    hits_T = likeliest_T == batch.clean_RL.flatten()
    return Losses(causal, batch.held * batch.weight * canvas_T.mean(), hits_T.float().mean())


def divergence(
    model: Network, own_BND: Tensor, base_BND: Tensor, *, recompute: bool
) -> tuple[Tensor, Tensor]:
    """KL(base || own) at each token [T], and the own likeliest ones [T]."""

    def compute(own_BND: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            base_TV = model.unembed(base_BND).flatten(0, 1).log_softmax(dim=-1)
        own_TV = model.unembed(own_BND).flatten(0, 1).log_softmax(dim=-1)
        kl_T = (base_TV.exp() * (base_TV - own_TV)).sum(dim=-1)
        return kl_T, own_TV.argmax(dim=-1)

    if not recompute:
        return compute(own_BND)
    found: tuple[Tensor, Tensor] = checkpoint(compute, own_BND, use_reentrant=False)
    return found
