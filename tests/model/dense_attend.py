"""The definition of what a token may look at: dense K/V, explicit masks, no cache."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from canvaslm.model.config import ModelConfig

# B batch, N queries, P keys, H heads, G kv heads, d head


def masked_attention(q_BHNd: Tensor, k_BGPd: Tensor, v_BGPd: Tensor, seen_BNP: Tensor) -> Tensor:
    groups = q_BHNd.shape[1] // k_BGPd.shape[1]
    k_BHPd, v_BHPd = (t.repeat_interleave(groups, dim=1) for t in (k_BGPd, v_BGPd))
    scores = (q_BHNd @ k_BHPd.transpose(2, 3)).masked_fill(~seen_BNP[:, None], float("-inf"))
    shares = scores.softmax(dim=-1, dtype=torch.float32).nan_to_num()  # a padded row sees nothing
    return shares.to(q_BHNd.dtype) @ v_BHPd


@dataclass
class DensePrefix:
    """Prefixes of several lengths, padded on the right; `place` is -1 where there is padding."""

    config: ModelConfig
    keys: dict[int, Tensor] = field(default_factory=dict)
    values: dict[int, Tensor] = field(default_factory=dict)
    place_BP: Tensor | None = None

    def encode(self, place_BN: Tensor) -> "DenseEncode":
        """For the next tokens of each prefix, at these positions."""
        seen = place_BN if self.place_BP is None else torch.cat((self.place_BP, place_BN), dim=1)
        self.place_BP = seen
        return DenseEncode(self, place_BN)

    def denoise(self, length_B: Tensor) -> "DenseDenoise":
        """For canvases that follow prefixes of these lengths."""
        return DenseDenoise(self, length_B)


@dataclass
class DenseEncode:
    prefix: DensePrefix
    place_BN: Tensor

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        prefix = self.prefix
        if layer in prefix.keys:
            k = torch.cat((prefix.keys[layer], k), dim=2)
            v = torch.cat((prefix.values[layer], v), dim=2)
        prefix.keys[layer], prefix.values[layer] = k, v
        distance_BNP = self.place_BN[:, :, None] - prefix.place_BP[:, None, :]
        seen = (distance_BNP >= 0) & (prefix.place_BP[:, None, :] >= 0)
        window = prefix.config.layers[layer].window
        return masked_attention(q, k, v, seen if window is None else seen & (distance_BNP < window))


@dataclass
class DenseDenoise:
    prefix: DensePrefix
    length_B: Tensor

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        prefix, window = self.prefix, self.prefix.config.layers[layer].window
        seen_BP = prefix.place_BP >= 0
        if window is not None:  # the same last window - 1 tokens for every canvas position
            seen_BP = seen_BP & (prefix.place_BP > self.length_B[:, None] - window)
        seen_BNP = seen_BP[:, None, :].expand(-1, q.shape[2], -1)
        canvas_BNN = torch.ones(len(q), q.shape[2], k.shape[2], dtype=torch.bool)
        k = torch.cat((prefix.keys[layer], k), dim=2)
        v = torch.cat((prefix.values[layer], v), dim=2)
        return masked_attention(q, k, v, torch.cat((seen_BNP, canvas_BNN), dim=2))
