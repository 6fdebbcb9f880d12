"""The published objective: causal cross-entropy of the encoder plus cross-entropy of the canvas.

Uniform-state discrete diffusion after DiffusionGemma's technical report (arXiv 2608.00146): the
prefix goes through the causal encoder with gradients through its K/V; a canvas noised at t is
denoised once without signal and without gradient; half of the canvases then see that guess as
their self-conditioning; the loss is plain cross-entropy over all canvas positions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from canvaslm.model.transformer import Transformer
from canvaslm.training.attend import ReadingCanvas, RecordingCausal
from canvaslm.training.data import Batch

# B documents, N document tokens, R canvases (whole multiples of B), L canvas length, D hidden

CrossEntropy = Callable[[Transformer, Tensor, Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class Losses:
    """Mean cross-entropies in nats per token, and the share of canvas tokens guessed right."""

    causal: Tensor
    canvas: Tensor
    accuracy: Tensor

    @property
    def total(self) -> Tensor:
        return self.causal + self.canvas


def cross_entropy(
    model: Transformer, hidden: Tensor, target: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of unembed(hidden) [B, N, V] at `target` [B, N], and the hits' mean."""
    logits = model.unembed(hidden)
    loss = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
    hits = (logits.argmax(dim=-1) == target).flatten().float()
    if mask is None:
        return loss.mean(), hits.mean()
    weight = mask.flatten().float()
    return (loss * weight).sum() / weight.sum().clamp(min=1), (hits * weight).mean()


def losses(model: Transformer, batch: Batch) -> Losses:
    """Both losses of one batch, with gradients."""
    recorded = RecordingCausal(model.config)
    positions_1N = torch.arange(batch.documents_BN.shape[1], device=batch.documents_BN.device)[None]
    hidden_BND = model.encode(batch.documents_BN, positions_1N, recorded)
    causal = hidden_BND.sum() * 0
    if bool(batch.causal_BN.any()):
        causal, _ = cross_entropy(
            model, hidden_BND[:, :-1], batch.documents_BN[:, 1:], batch.causal_BN[:, 1:]
        )
    canvases = len(batch.clean_RL) // len(batch.documents_BN)
    row_R = torch.arange(len(batch.documents_BN)).repeat_interleave(canvases)
    soft_RLD = first_guess(model, batch, recorded, row_R)
    context, positions_RL = reading(recorded, batch, row_R)
    hidden_RLD = model.denoise(batch.noised_RL, soft_RLD, positions_RL, context)
    canvas, accuracy = cross_entropy(model, hidden_RLD, batch.clean_RL, None)
    return Losses(causal, canvas, accuracy.detach())


@torch.no_grad()
def first_guess(
    model: Transformer, batch: Batch, recorded: RecordingCausal, row_R: Tensor
) -> Tensor:
    """Soft embeddings [R, L, D] of an unconditioned first pass; zero where not `sighted`."""
    sighted = batch.sighted_R.nonzero().flatten()
    shape = (*batch.noised_RL.shape, model.config.hidden_size)
    soft_RLD = torch.zeros(shape, dtype=model.embedding.dtype, device=batch.noised_RL.device)
    if len(sighted):
        context, positions = reading(recorded, batch, row_R[sighted.cpu()])
        hidden = model.denoise(batch.noised_RL[sighted], None, positions, context)
        soft_RLD[sighted] = model.soften(model.unembed(hidden))
    return soft_RLD


def reading(recorded: RecordingCausal, batch: Batch, row_R: Tensor) -> tuple[ReadingCanvas, Tensor]:
    """The context of each canvas (document `row_R`), and its absolute positions [R, L]."""
    prefix_R = batch.prefix_B[row_R]
    offset_L = torch.arange(batch.noised_RL.shape[1], device=prefix_R.device)
    return ReadingCanvas(recorded.rows(row_R), prefix_R), prefix_R[:, None] + offset_L
