"""Logits of chosen tokens, raised, lowered or ruled out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from canvaslm.diffusion.statistics import Statistics

# L canvas, V vocabulary, K tokens chosen


class Bias:
    """Adds a number to the logits of some tokens at every position."""

    constant: ClassVar[bool] = True

    def __init__(self, values: Mapping[int, float], *, device: torch.device) -> None:
        self._ids_K = torch.tensor(list(values), device=device)
        self._values_K = torch.tensor(list(values.values()), dtype=torch.float32, device=device)

    def apply(self, logits_LV: Tensor, said: Sequence[int], before: Statistics | None) -> None:
        logits_LV[:, self._ids_K] += self._values_K.to(logits_LV.dtype)


class Banned:
    """Rules some tokens out at every position."""

    constant: ClassVar[bool] = True

    def __init__(self, ids: Iterable[int], *, device: torch.device) -> None:
        self._ids_K = torch.tensor(sorted(ids), device=device)

    def apply(self, logits_LV: Tensor, said: Sequence[int], before: Statistics | None) -> None:
        logits_LV[:, self._ids_K] = -math.inf
