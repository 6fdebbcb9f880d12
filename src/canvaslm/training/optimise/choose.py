"""The optimisers to choose from; each says which parameters it takes how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn
from torch.optim import Optimizer

from canvaslm.errors import TrainingError
from canvaslm.training.optimise.muon import Muon


class Optimise(Protocol):
    """An optimiser's settings."""

    def build(self, parameters: Mapping[str, nn.Parameter]) -> tuple[Optimizer, ...]:
        """Optimisers that share the parameters between them."""
        ...


@dataclass(frozen=True, kw_only=True)
class MuonAdamW:
    """Matrices learn by Muon; embeddings, routers and vectors by AdamW, without decay."""

    matrix_lr: float = 0.02
    vector_lr: float = 0.003
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        check(matrix_lr=self.matrix_lr, vector_lr=self.vector_lr)

    def build(self, parameters: Mapping[str, nn.Parameter]) -> tuple[Optimizer, ...]:
        inner = [p for n, p in parameters.items() if is_matrix(n, p)]
        outer = [p for n, p in parameters.items() if not is_matrix(n, p)]
        made: list[Optimizer] = []
        if inner:
            made.append(Muon(inner, lr=self.matrix_lr, weight_decay=self.weight_decay))
        if outer:  # an adapter has none
            made.append(
                torch.optim.AdamW(outer, lr=self.vector_lr, betas=(0.9, 0.98), weight_decay=0.0)
            )
        return tuple(made)


@dataclass(frozen=True, kw_only=True)
class AdamW:
    """AdamW; matrices decay, vectors do not. Two float32 numbers for each weight."""

    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        check(lr=self.lr)

    def build(self, parameters: Mapping[str, nn.Parameter]) -> tuple[Optimizer, ...]:
        groups = decaying(parameters, self.weight_decay)
        return (torch.optim.AdamW(groups, lr=self.lr, betas=self.betas),)


@dataclass(frozen=True, kw_only=True)
class Adafactor:
    """PyTorch's Adafactor: a row and a column of numbers for each matrix, so hardly any memory."""

    lr: float = 1e-3
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check(lr=self.lr)

    def build(self, parameters: Mapping[str, nn.Parameter]) -> tuple[Optimizer, ...]:
        return (torch.optim.Adafactor(decaying(parameters, self.weight_decay), lr=self.lr),)


def decaying(
    parameters: Mapping[str, nn.Parameter], weight_decay: float
) -> list[dict[str, object]]:
    """Two groups: matrices, which decay, and vectors, which do not."""
    matrices = [p for p in parameters.values() if p.dim() >= 2]
    vectors = [p for p in parameters.values() if p.dim() < 2]
    groups = ((matrices, weight_decay), (vectors, 0.0))
    return [{"params": held, "weight_decay": decay} for held, decay in groups if held]


def is_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Whether Muon may turn its update: a product's weight, not a table or a router."""
    return parameter.dim() >= 2 and name != "embedding" and "router" not in name


def check(**rates: float) -> None:
    for name, value in rates.items():
        if not value > 0:
            raise TrainingError(f"{name} must be positive, got {value!r}")
