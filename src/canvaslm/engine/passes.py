"""A denoising pass: the network as the loop sees it, and what a caller is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from canvaslm.cache.attend import Bidirectional
from canvaslm.cache.pages import Prefix
from canvaslm.cache.partial import Partial
from canvaslm.diffusion.loop import State
from canvaslm.model.network import FusedHead, Network

# B rows at work, L canvas, D hidden, V vocabulary


@dataclass(frozen=True, kw_only=True)
class Pass:
    """A denoising pass of canvas number `canvas`."""

    canvas: int
    state: State


class CanvasModel:
    """The network as the loop sees it: one canvas after each prefix. What a canvas keeps from pass
    to pass (positions, the prefixes in sight) is made once."""

    def __init__(self, model: Network, prefixes: Sequence[Prefix]) -> None:
        self.model, self.prefixes = model, prefixes
        self._rows: Sequence[int] | None = None
        self._partial: dict[int, Partial] = {}

    @property
    def head(self) -> FusedHead | None:
        return self.model.head

    def hidden(self, rows: Sequence[int], ids_BL: Tensor, soft_BLD: Tensor | None) -> Tensor:
        if rows != self._rows:
            self._rows, prefixes = rows, [self.prefixes[row] for row in rows]
            starts = torch.tensor([[prefix.length] for prefix in prefixes], device=ids_BL.device)
            self._positions = starts + torch.arange(ids_BL.shape[1], device=ids_BL.device)
            self._attend = Bidirectional(prefixes)
        return self.model.denoise(ids_BL, soft_BLD, self._positions, self._attend)

    def hidden_at(
        self, row: int, places_R: Tensor | None, ids_1R: Tensor, soft_1RD: Tensor | None
    ) -> Tensor:
        prefix = self.prefixes[row]
        if row not in self._partial:
            self._partial[row] = Partial(Bidirectional([prefix]))
        attend = self._partial[row]
        attend.places = places_R
        if places_R is None:
            places_R = torch.arange(ids_1R.shape[1], device=ids_1R.device)
        return self.model.denoise(ids_1R, soft_1RD, prefix.length + places_R[None], attend)

    def logits(self, hidden_BLD: Tensor) -> Tensor:
        return self.model.unembed(hidden_BLD)

    def soften(self, p_BLV: Tensor) -> Tensor:
        return self.model.blend(p_BLV)
