"""Penalties on tokens that the answer has already, or will have elsewhere on its canvas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from canvaslm.diffusion.statistics import Statistics

# L canvas, V vocabulary


@dataclass(frozen=True, kw_only=True)
class Penalties:
    """Changes a logit by how often its token stands elsewhere in the answer.

    How often is n = how often the committed text has the token, plus the sum of the probabilities
    that the step before gave it at all other positions of the canvas; s = min(n, 1) is whether it
    stands there at all. Then logit -= frequency * n + presence * s, after logit /= repetition ** s
    where the logit is positive and logit *= repetition ** s where it is not. Left to right there
    is no canvas, n is a count, and these are the usual definitions. The prompt does not count, and
    tokens in `exempt`, which fill a canvas after the end, are neither counted nor changed.
    """

    repetition: float = 1.0
    presence: float = 0.0
    frequency: float = 0.0
    exempt: frozenset[int] = frozenset()
    constant: ClassVar[bool] = False

    def without(self, ids: frozenset[int]) -> Penalties:
        """The same with these tokens exempt."""
        return replace(self, exempt=ids)

    def apply(self, logits_LV: Tensor, said: Sequence[int], before: Statistics | None) -> None:
        n_LV = self._count(logits_LV, said, before)
        s_LV = n_LV.clamp(max=1)
        if self.repetition != 1:
            scale_LV = self.repetition**s_LV
            logits_LV.copy_(torch.where(logits_LV > 0, logits_LV / scale_LV, logits_LV * scale_LV))
        logits_LV -= n_LV.mul_(self.frequency).add_(s_LV, alpha=self.presence)

    def _count(self, logits_LV: Tensor, said: Sequence[int], before: Statistics | None) -> Tensor:
        """n, [L, V], or [1, V] where every position has the same."""
        said_N = torch.tensor(said, dtype=torch.int64, device=logits_LV.device)
        n_LV = torch.bincount(said_N, minlength=logits_LV.shape[-1]).to(logits_LV.dtype)[None]
        if before is not None:
            p_LV = before.p[0]
            n_LV = (n_LV + p_LV.sum(dim=0)).sub(p_LV).clamp_(min=0)
        n_LV[:, torch.tensor(sorted(self.exempt), dtype=torch.int64)] = 0
        return n_LV
