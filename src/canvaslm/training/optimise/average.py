"""The averaged weights of a run: an exponential mean that starts quickly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Average:
    """`keep` of the mean stays at every step, less at first: (n + 1) / (n + 10)."""

    keep: float
    weights: Mapping[str, Tensor]

    @classmethod
    def of(cls, parameters: Mapping[str, Tensor], keep: float) -> Average:
        return cls(keep, {name: p.detach().clone() for name, p in parameters.items()})

    @torch.no_grad()
    def update(self, parameters: Mapping[str, Tensor], step: int) -> None:
        keep = min(self.keep, (step + 1) / (step + 10))
        for name, parameter in parameters.items():
            self.weights[name].lerp_(parameter, 1 - keep)
