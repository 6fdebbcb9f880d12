"""The `Recording` of training/attend.py on operations of our own: prefixes are read in place."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from canvaslm.kernels.cpu.train_attention import Seen
from canvaslm.kernels.cpu.training import Training
from canvaslm.model.config import ModelConfig
from canvaslm.training.fused.attention import attend

# B documents, R canvases, N document tokens, L canvas, H heads, G kv heads, d head


@dataclass
class Recorded:
    """Causal attention over whole documents, which keeps K/V of every layer."""

    config: ModelConfig
    native: Training
    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        self.keys.append(k)
        self.values.append(v)
        window = self.config.layers[layer].window
        return heads(attend(q, k, v, window=window, kernels=self.native), q)

    def reading(self, row_R: Tensor, prefix_R: Tensor) -> Reading:
        return Reading(self, row_R, prefix_R)


@dataclass(frozen=True)
class Reading:
    """Attention of each canvas over its document's prefix and over itself, both ways."""

    recorded: Recorded
    row_R: Tensor
    prefix_R: Tensor

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        recorded = self.recorded
        seen = Seen(
            keys_BGMd=recorded.keys[layer],
            values_BGMd=recorded.values[layer],
            row_R=self.row_R,
            seen_R=self.prefix_R,
        )
        window = recorded.config.layers[layer].window
        return heads(attend(q, k, v, seen, window=window, kernels=recorded.native), q)


def heads(mixed_RLJ: Tensor, q: Tensor) -> Tensor:
    """The heads side by side, as a layer expects them: [R, H, L, d]."""
    return mixed_RLJ.view(*mixed_RLJ.shape[:2], q.shape[1], -1).transpose(1, 2)
