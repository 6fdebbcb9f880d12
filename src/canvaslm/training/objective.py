"""The published objective: causal cross-entropy of the encoder plus cross-entropy of the canvas.

Uniform-state discrete diffusion after DiffusionGemma's technical report (arXiv 2608.00146): the
prefix goes through the causal encoder with gradients through its K/V; a canvas noised at t is
denoised once without signal and without gradient; half of the canvases then see that guess as
their self-conditioning; the loss is plain cross-entropy over all canvas positions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from canvaslm.model.transformer import Attend, Transformer
from canvaslm.training.attend import Recording, RecordingCausal
from canvaslm.training.data.batch import Batch
from canvaslm.training.distil.certain import certain_losses
from canvaslm.training.fused.network import Fused

# B documents, N document tokens, R canvases (whole multiples of B), L canvas length, D hidden

Network = Transformer | Fused
"""The definition, or its form for training on a CPU."""

Score = Callable[[Network, Tensor, Tensor], tuple[Tensor, Tensor]]
"""What `token_losses` does."""


@dataclass(frozen=True)
class Losses:
    """Mean cross-entropies in nats per token, and the share of canvas tokens guessed right.

    `canvas` also holds what doubt costs, where a batch says that it costs anything, and is as many
    times the mean as the batch weighs.
    """

    causal: Tensor
    canvas: Tensor
    accuracy: Tensor

    @property
    def total(self) -> Tensor:
        return self.causal + self.canvas

    def weighted(self, *, causal: float, canvas: float) -> Tensor:
        return self.causal * causal + self.canvas * canvas


def token_losses(model: Network, hidden: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of unembed(hidden [B, N, D]) at `target` [B, N], and the hits: both [B * N]."""
    if isinstance(model, Fused):
        return model.token_losses(hidden, target)
    logits = model.unembed(hidden).flatten(0, 1)
    target = target.flatten()
    return F.cross_entropy(logits, target, reduction="none"), logits.argmax(dim=-1) == target


def soft_guess(model: Network, hidden: Tensor) -> Tensor:
    """The soft embedding [B, N, D] of what hidden states [B, N, D] say."""
    return model.soften(model.unembed(hidden))


def scoring(certainty: float = 0.0, *, recompute: bool) -> Score:
    """`token_losses`, or with `certainty` `certain_losses`; `recompute`: the logits, the largest
    tensors of all, are not kept for the gradient but computed again."""
    score = partial(certain_losses, certainty=certainty) if certainty else token_losses
    return partial(checkpoint, score, use_reentrant=False) if recompute else score


def losses(model: Network, batch: Batch, *, recompute: bool = False, even: bool = False) -> Losses:
    """Both losses of one batch, with gradients.

    `recompute`: as in `scoring`; `even`: the same passes whatever the batch holds, even those that
    count nothing.
    """
    hidden_BND, recorded = encoded(model, batch)
    causal = causal_loss(model, hidden_BND, batch, scoring(recompute=recompute), even=even)
    hidden_RLD, batch = denoised(model, batch, recorded, even=even)
    score = scoring(batch.certainty, recompute=recompute)
    loss_T, hit_T = score(model, hidden_RLD, batch.clean_RL)
    return Losses(causal, batch.weight * loss_T.mean(), hit_T.float().mean())


def encoded(model: Network, batch: Batch) -> tuple[Tensor, Recording]:
    """Hidden states [B, N, D] of the documents, and what canvases attend to."""
    recorded = recording(model)
    place_1N = torch.arange(batch.documents_BN.shape[1], device=batch.documents_BN.device)[None]
    return model.encode(batch.documents_BN, place_1N, recorded), recorded


def denoised(
    model: Network, batch: Batch, recorded: Recording, *, even: bool
) -> tuple[Tensor, Batch]:
    """Hidden states [R, L, D] of the canvases, and the batch that was seen (`Batch.after`)."""
    canvases = len(batch.clean_RL) // len(batch.documents_BN)
    row_R = torch.arange(len(batch.documents_BN)).repeat_interleave(canvases)
    batch = batch.after(partial(guess, model, batch, recorded, row_R))
    soft_RLD = first_guess(model, batch, recorded, row_R, even=even)
    context, positions_RL = reading(recorded, batch, row_R)
    return model.denoise(batch.noised_RL, soft_RLD, positions_RL, context), batch


def causal_loss(
    model: Network, hidden_BND: Tensor, batch: Batch, score: Score, *, even: bool
) -> Tensor:
    """Mean next-token cross-entropy of the encoder over the marked tokens; 0 if none are."""
    marked_T = batch.causal_BN[:, 1:].flatten()
    if not even and not bool(marked_T.any()):
        return hidden_BND.new_zeros(())
    loss_T, _ = score(model, hidden_BND[:, :-1], batch.documents_BN[:, 1:])
    return (loss_T * marked_T).sum() / marked_T.sum().clamp(min=1)


@torch.no_grad()
def guess(
    model: Network,
    batch: Batch,
    recorded: Recording,
    row_R: Tensor,
    rows: Tensor,
    canvas_rL: Tensor,
    before_rLV: Tensor | None,
) -> Tensor:
    """Logits [r, L, V] over the canvases of `rows`, which see what `before` made of them."""
    seen_r = row_R[rows.cpu()]
    context, positions = reading(recorded, batch, seen_r)
    soft = None if before_rLV is None else model.soften(before_rLV).to(model.embedding.dtype)
    return model.unembed(model.denoise(canvas_rL, soft, positions, context))


@torch.no_grad()
def first_guess(
    model: Network,
    batch: Batch,
    recorded: Recording,
    row_R: Tensor,
    *,
    even: bool = False,
) -> Tensor:
    """Soft embeddings [R, L, D] of an unconditioned first pass, or of what the batch was `told`;
    zero where there is neither."""
    sighted = batch.sighted_R.nonzero().flatten()
    shape = (*batch.noised_RL.shape, model.config.hidden_size)
    soft_RLD = torch.zeros(shape, dtype=model.embedding.dtype, device=batch.noised_RL.device)
    looking = sighted.new_zeros(1) if even and not len(sighted) else sighted
    if len(looking):
        seen_S = row_R[looking.cpu()]
        context, positions = reading(recorded, batch, seen_S)
        hidden = model.denoise(batch.noised_RL[looking], None, positions, context)
        guess_SLD = soft_guess(model, hidden).to(soft_RLD.dtype)
        soft_RLD[sighted] = guess_SLD[: len(sighted)]
    if batch.told is not None:
        rows, logits_rLV = batch.told
        soft_RLD[rows] = model.soften(logits_rLV).to(soft_RLD.dtype)
    return soft_RLD


def recording(model: Network) -> Recording:
    """What the encoder attends by, and the canvases after it."""
    return model.recording() if isinstance(model, Fused) else RecordingCausal(model.config)


def reading(recorded: Recording, batch: Batch, row_R: Tensor) -> tuple[Attend, Tensor]:
    """The context of each canvas, of document `row_R`, and its absolute positions [R, L]."""
    prefix_R = batch.prefix_B[row_R]
    offset_L = torch.arange(batch.noised_RL.shape[1], device=prefix_R.device)
    return recorded.reading(row_R, prefix_R), prefix_R[:, None] + offset_L
