"""What the engine asks of a network, whichever way it is computed."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from canvaslm.model.config import ModelConfig
from canvaslm.model.transformer import Attend

# B batch, N tokens (L when they are a canvas), D hidden, V vocabulary


class Network(Protocol):
    """`Transformer`, the definition, or a faster way to the same numbers."""

    config: ModelConfig

    @property
    def embedding(self) -> Tensor:
        """[V, D]; its device and dtype are the network's."""
        ...

    def encode(self, ids_BN: Tensor, positions_BN: Tensor, attend: Attend) -> Tensor:
        """Causal mode: hidden states [B, N, D]."""
        ...

    def denoise(
        self, ids_BL: Tensor, soft_BLD: Tensor | None, positions_BL: Tensor, attend: Attend
    ) -> Tensor:
        """Bidirectional mode: hidden states [B, L, D]."""
        ...

    def unembed(self, h_BND: Tensor) -> Tensor:
        """Soft-capped float32 logits [B, N, V], in memory of their own."""
        ...

    def blend(self, p_BLV: Tensor) -> Tensor:
        """The soft embedding of probabilities: [B, L, D]."""
        ...
