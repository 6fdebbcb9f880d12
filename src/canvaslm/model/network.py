"""What the engine asks of a network, whichever way it is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from canvaslm.kernels.ops import Belief
from canvaslm.model.config import ModelConfig
from canvaslm.model.transformer import Attend

# B batch, N tokens (L when they are a canvas), D hidden, V vocabulary


@dataclass(frozen=True, kw_only=True, eq=False)
class Bend:
    """What is done to the logits of a canvas, the same in every step.

    bias    float32 [V], added to every position's; -inf rules a token out
    pinned  int64 [L], the one token that a position may hold, -1 where it may hold any
    """

    bias: Tensor | None = None
    pinned: Tensor | None = None


class FusedHead(Protocol):
    """A vocabulary head that gives what the rules read without writing the logits down."""

    @property
    def vocab_size(self) -> int: ...

    def believe(
        self,
        hidden_BLD: Tensor,
        *,
        temperature: float | Tensor,
        uniform_BL: Tensor,
        soft: bool,
        bend: Bend | None = None,
    ) -> Belief:
        """Statistics [B, L] at this temperature, a candidate drawn by each uniform number among
        them; with `soft`, what `soften` needs is kept."""
        ...

    def soften(self, belief: Belief, rows: Sequence[int]) -> Tensor:
        """The soft embedding of these rows: [R, L, D]."""
        ...


class Network(Protocol):
    """`Transformer`, the definition, or a faster way to the same numbers."""

    config: ModelConfig

    @property
    def embedding(self) -> Tensor:
        """[V, D]; where it is rounded, made anew for who asks, so a device is asked for alone."""
        ...

    @property
    def device(self) -> torch.device: ...

    @property
    def writer(self) -> object:
        """Whose K and V its passes write: only networks of one writer may read each other's."""
        ...

    @property
    def rows_stand_alone(self) -> bool:
        """Whether a row of a pass comes to the same bits whatever other rows are in it."""
        ...

    @property
    def head(self) -> FusedHead | None:
        """A vocabulary head that keeps no logits; None where there is none."""
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
