"""The peer of bench/train.py: transformers' DiffusionGemma under an `accelerate` loop.

What a user who knows both libraries would write: the reference network, tied as it comes, the
published objective through its own arguments (`past_key_values`, `self_conditioning_mask`),
`Accelerator` for precision and clipping, PyTorch's AdamW. Nothing here is canvaslm's but the
batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn
from transformers import DiffusionGemmaForBlockDiffusion, DynamicCache
from transformers.utils import logging

from canvaslm.training.data.batch import Batch, Micro

# B documents, N document tokens, R canvases (whole multiples of B), L canvas length, V vocabulary


@dataclass(frozen=True, kw_only=True)
class Way:
    """How transformers and accelerate are told to run."""

    precision: Literal["no", "bf16"] = "no"
    attention: Literal["sdpa", "eager"] = "sdpa"
    experts: Literal["grouped_mm", "eager"] = "grouped_mm"
    compiled: bool = False
    chosen_rows: bool = True  # the first guess for the canvases that are shown it; else for all

    @property
    def name(self) -> str:
        """In words, with the values of `attn_implementation` and `set_experts_implementation`."""
        products = "float32" if self.precision == "no" else "products in bfloat16"
        parts = [products, f"attention `{self.attention}`", f"experts `{self.experts}`"]
        parts += ["compiled" if self.compiled else "not compiled"]
        return ", ".join([*parts, *([] if self.chosen_rows else ["first guess for all canvases"])])


class Peer:
    """A training loop by hand over one checkpoint."""

    def __init__(self, folder: Path, way: Way, *, lr: float, clip: float) -> None:
        logging.disable_progress_bar()
        self.way, self.clip = way, clip
        self.accelerator = Accelerator(mixed_precision=way.precision, cpu=True)
        network: Any = DiffusionGemmaForBlockDiffusion.from_pretrained(
            folder, dtype=torch.float32, attn_implementation=way.attention
        )
        network.set_experts_implementation(way.experts)
        network.model.encoder.vision_tower.requires_grad_(False)
        network.model.encoder.embed_vision.requires_grad_(False)
        learning = [p for p in network.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in learning if p.dim() >= 2], "weight_decay": 0.01},
            {"params": [p for p in learning if p.dim() < 2], "weight_decay": 0.0},
        ]
        adam = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.99))
        objective: nn.Module = Objective(network, chosen_rows=way.chosen_rows).train()
        if way.compiled:
            objective.compile(dynamic=True)
        self.objective, self.optimiser = self.accelerator.prepare(objective, adam)
        self.parameters = learning

    def step(self, micros: Sequence[Micro]) -> float:
        """One optimiser step; the loss."""
        total = 0.0
        for micro in micros:
            causal, canvas = self.objective(micro.batch)
            loss = causal * micro.causal_weight + canvas * micro.canvas_weight
            self.accelerator.backward(loss)
            total += float(loss.detach())
        self.accelerator.clip_grad_norm_(self.parameters, self.clip)
        self.optimiser.step()
        self.optimiser.zero_grad()
        return total


class Objective(nn.Module):
    """Causal cross-entropy of the encoder and cross-entropy of the canvas, in two passes."""

    def __init__(self, network: Any, *, chosen_rows: bool) -> None:
        super().__init__()
        self.network, self.chosen_rows = network, chosen_rows

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        canvases = len(batch.clean_RL) // len(batch.documents_BN)
        text = self.network.config.get_text_config()
        cache = DynamicCache(config=text)
        encoded = self.network.model.encoder(input_ids=batch.documents_BN, past_key_values=cache)
        causal = self.causal(encoded.last_hidden_state, batch)
        cache.crop(int(batch.prefix_B.max()) - batch.documents_BN.shape[1])  # answers are not seen
        if canvases > 1:
            cache.batch_repeat_interleave(canvases)
        prefix_R = batch.prefix_B.repeat_interleave(canvases)
        shown = self.first_guess(batch, cache, prefix_R)
        logits = self.denoise(
            batch.noised_RL,
            cache,
            prefix_R,
            self_conditioning_logits=shown,
            self_conditioning_mask=batch.sighted_R,
        )
        return causal, F.cross_entropy(logits.flatten(0, 1), batch.clean_RL.flatten())

    def causal(self, hidden_BND: Tensor, batch: Batch) -> Tensor:
        cap = self.network.final_logit_softcapping
        logits = self.network.lm_head(hidden_BND[:, :-1]).float()
        logits = torch.tanh(logits / cap) * cap
        target = batch.documents_BN[:, 1:].masked_fill(~batch.causal_BN[:, 1:], -100)
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="sum")
        return loss / batch.causal_BN[:, 1:].sum().clamp(min=1)

    @torch.no_grad()
    def first_guess(self, batch: Batch, cache: DynamicCache, prefix_R: Tensor) -> Tensor | None:
        """Logits [R, L, V] of a pass that is shown nothing."""
        rows = batch.sighted_R.nonzero().flatten()
        if not len(rows):
            return None
        if not self.chosen_rows:
            return self.denoise(batch.noised_RL, cache, prefix_R)
        layers = [(layer.keys[rows], layer.values[rows]) for layer in cache.layers]
        seen = DynamicCache(layers, config=self.network.config.get_text_config())
        guess = self.denoise(batch.noised_RL[rows], seen, prefix_R[rows])
        logits = guess.new_zeros(len(batch.noised_RL), *guess.shape[1:])
        logits[rows] = guess
        return logits

    def denoise(self, canvas: Tensor, cache: DynamicCache, prefix: Tensor, **given: Any) -> Tensor:
        """Logits of canvases that see the first `prefix` tokens of their documents."""
        length, seen = canvas.shape[1], cache.get_seq_length()
        place = torch.arange(seen + length)
        visible = (place < prefix[:, None]) | (place >= seen)
        output = self.network(
            past_key_values=cache,
            decoder_input_ids=canvas,
            decoder_attention_mask=visible,
            decoder_position_ids=prefix[:, None] + torch.arange(length),
            **given,
        )
        logits: Tensor = output.logits
        return logits


def versions() -> dict[str, str]:
    """Of what is measured."""
    return {name: version(name) for name in ("transformers", "accelerate", "torch")}
