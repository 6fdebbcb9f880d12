"""The `Attend` objects of training: a causal pass records K/V, a canvas reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from canvaslm.model.config import ModelConfig
from canvaslm.model.transformer import Attend

# B documents, R canvases, N document tokens, P longest prefix, L canvas, H heads, G kv heads,
# d head


class Recording(Attend, Protocol):
    """Causal attention that remembers, so that canvases can be read after it."""

    def reading(self, row_R: Tensor, prefix_R: Tensor) -> Attend:
        """For canvas r over the first `prefix_R[r]` tokens of document `row_R[r]`, and itself."""
        ...


def attention(
    q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None, *, causal: bool = False
) -> Tensor:
    """softmax(q k) v of q [B, H, N, d] over k, v [B, G, M, d]; `visible` [..., N, M], None: all,
    or with `causal` what is not later.

    On a CPU by plain products: PyTorch's fused kernel for CPUs keeps scores out of memory, but its
    gradient takes 4 times as long in bfloat16 (256 canvases of 96 tokens: 119 ms, 28 by products).
    """
    k, v = repeat_heads(k, q), repeat_heads(v, q)
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=visible, is_causal=causal, scale=1.0
        )
    scores = q @ k.mT
    if causal:
        visible = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
    if visible is not None:
        scores = scores.masked_fill(~visible, -torch.inf)
    return scores.softmax(dim=-1) @ v


def repeat_heads(k: Tensor, q: Tensor) -> Tensor:
    """Each of the G kv heads beside the queries of its group: [B, H, N, d]."""
    groups = q.shape[1] // k.shape[1]
    return k if groups == 1 else k.repeat_interleave(groups, dim=1)


@dataclass
class RecordingCausal:
    """Causal attention over whole documents; keeps every layer's K/V for the denoiser to read.

    Documents are padded on the right, so causality alone keeps padding out of sight.
    """

    config: ModelConfig
    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        self.keys.append(k)
        self.values.append(v)
        window, length = self.config.layers[layer].window, q.shape[2]
        if window is None or window >= length:
            return attention(q, k, v, None, causal=True)
        place = torch.arange(length, device=q.device)
        distance = place[:, None] - place[None, :]
        return attention(q, k, v, (distance >= 0) & (distance < window))

    def reading(self, row_R: Tensor, prefix_R: Tensor) -> ReadingCanvas:
        documents, canvases = len(self.keys[0]), len(row_R)
        order_R = torch.arange(documents).repeat_interleave(canvases // documents)
        if torch.equal(row_R.cpu(), order_R):
            return ReadingCanvas(self.each(canvases // documents), prefix_R)
        return ReadingCanvas(self.rows(row_R), prefix_R)

    def rows(self, row_R: Tensor) -> RecordingCausal:
        """The recording seen from `R` canvases, canvas r over document `row_R[r]`."""
        return RecordingCausal(
            self.config, [k[row_R] for k in self.keys], [v[row_R] for v in self.values]
        )

    def each(self, canvases: int) -> RecordingCausal:
        """The recording seen from `canvases` canvases of each document in turn.

        What `rows` would give, whose gradient adds up rows one by one.
        """

        def seen(x: Tensor) -> Tensor:
            return x[:, None].expand(-1, canvases, -1, -1, -1).flatten(0, 1)

        return RecordingCausal(self.config, [*map(seen, self.keys)], [*map(seen, self.values)])


@dataclass
class ReadingCanvas:
    """Bidirectional attention of each canvas over its document's prefix and over itself.

    `prefix_B` is each example's number of visible document tokens; sliding layers see the last
    window - 1 of them. Gradients flow into the recorded K/V.
    """

    recorded: RecordingCausal
    prefix_B: Tensor
    longest: int = field(init=False)
    masks: Mapping[int | None, Tensor | None] = field(init=False)

    def __post_init__(self) -> None:
        shortest, self.longest = int(self.prefix_B.min()), int(self.prefix_B.max())
        windows = {layer.window for layer in self.recorded.config.layers}
        self.masks = {window: self.visible(window, shortest) for window in windows}

    def visible(self, window: int | None, shortest: int) -> Tensor | None:
        """[B, 1, 1, P], or None where the whole prefix is visible to everyone."""
        if shortest == self.longest and (window is None or self.longest < window):
            return None
        place_P = torch.arange(self.longest, device=self.prefix_B.device)
        visible_BP = place_P < self.prefix_B[:, None]
        if window is not None:
            visible_BP = visible_BP & (place_P > self.prefix_B[:, None] - window)
        return visible_BP[:, None, None, :]

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        k = torch.cat((self.recorded.keys[layer][:, :, : self.longest], k), dim=2)
        v = torch.cat((self.recorded.values[layer][:, :, : self.longest], v), dim=2)
        mask = self.masks[self.recorded.config.layers[layer].window]
        if mask is not None:
            mask = F.pad(mask, (0, q.shape[2]), value=True).expand(-1, -1, q.shape[2], -1)
        return attention(q, k, v, mask)
