"""The vocabulary head of a native network: what the rules read, without the logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from canvaslm.kernels.ops import Belief, Operations
from canvaslm.kernels.rows import Kind
from canvaslm.kernels.weight import Weight
from canvaslm.model.network import Bend

# B batch, L canvas, T tokens, D hidden, V vocabulary, R rows asked for


@dataclass(frozen=True, eq=False)
class Kept:
    """What `soften` needs: the backend's belief of all rows, or of each; and what is pinned."""

    parts: tuple[Belief, ...]
    pinned_L: Tensor | None


class Head:
    """A `FusedHead`. `scale` is what a soft embedding is multiplied with."""

    def __init__(
        self,
        operations: Operations,
        table: Weight,
        *,
        kind: Kind,
        softcap: float | None,
        scale: float,
    ) -> None:
        self.operations, self.table, self.kind = operations, table, kind
        self.softcap, self.scale = softcap, scale

    @property
    def vocab_size(self) -> int:
        return self.table.shape[0]

    def logits(self, hidden_TD: Tensor) -> Tensor:
        """Soft-capped, float32 [T, V]."""
        x = self.operations.rows(hidden_TD.contiguous(), self.kind)
        return self.operations.logits(x, self.table, softcap=self.softcap)

    def believe(
        self,
        hidden_BLD: Tensor,
        *,
        temperature: float | Tensor,
        uniform_BL: Tensor,
        soft: bool,
        bend: Bend | None = None,
    ) -> Belief:
        """See `FusedHead.believe`. Rows of different temperatures are asked one by one."""
        if isinstance(temperature, Tensor):
            each = temperature.flatten().expand(len(hidden_BLD)).tolist()
        else:
            each = [temperature] * len(hidden_BLD)
        groups = [(slice(None), each[0])]
        if any(one != each[0] for one in each):
            groups = [(slice(i, i + 1), one) for i, one in enumerate(each)]
        bend = bend or Bend()
        parts = tuple(
            self.operations.believe(
                self.operations.rows(hidden_BLD[rows].flatten(0, 1).contiguous(), self.kind),
                self.table,
                softcap=self.softcap,
                temperature=one,
                uniform_T=uniform_BL[rows].flatten().double(),
                bias_V=bend.bias,
                soft=soft,
            )
            for rows, one in groups
        )
        shape = hidden_BLD.shape[:2]
        drawn = [part.drawn for part in parts if part.drawn is not None]
        belief = Belief(
            torch.cat([part.log_z for part in parts]).view(shape),
            torch.cat([part.entropy for part in parts]).view(shape),
            torch.cat([part.best for part in parts]).view(shape),
            torch.cat(drawn).view(shape),
            Kept(parts, bend.pinned) if soft else None,
        )
        return belief if bend.pinned is None else settle(belief, bend.pinned)

    def soften(self, belief: Belief, rows: Sequence[int]) -> Tensor:
        """See `FusedHead.soften`."""
        kept: Kept = belief.state
        count, length = belief.best.shape
        operations = self.operations
        if len(kept.parts) > 1:
            soft_TD = torch.cat([operations.soften(kept.parts[row]) for row in rows])
        elif list(rows) == list(range(count)):
            soft_TD = operations.soften(kept.parts[0])
        else:
            places_R = (torch.tensor(rows)[:, None] * length + torch.arange(length)).flatten()
            soft_TD = operations.soften(kept.parts[0], places_R)
        soft_RLD = soft_TD.mul_(self.scale).view(len(rows), length, -1)
        if kept.pinned_L is not None:
            held_P = (kept.pinned_L >= 0).nonzero()[:, 0]
            ids_P = kept.pinned_L[held_P].contiguous()
            soft_RLD[:, held_P] = operations.embed(ids_P, self.table, scale=self.scale)
        return soft_RLD


def settle(belief: Belief, pinned_L: Tensor) -> Belief:
    """The same with no doubt left where a token is pinned."""
    held_L = pinned_L >= 0
    assert belief.drawn is not None
    return Belief(
        belief.log_z,
        belief.entropy.masked_fill(held_L, 0),
        torch.where(held_L, pinned_L, belief.best),
        torch.where(held_L, pinned_L, belief.drawn),
        belief.state,
    )
