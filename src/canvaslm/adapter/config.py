"""What a low-rank adapter is before it has numbers: its rank, its scale, the matrices it bends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from canvaslm.errors import ParameterError

Target = Literal[
    "attention.q",
    "attention.k",
    "attention.v",
    "attention.o",
    "mlp.gate",
    "mlp.up",
    "mlp.down",
    "router.proj",
    "self_conditioning.mlp.gate",
    "self_conditioning.mlp.up",
    "self_conditioning.mlp.down",
]
"""A kind of matrix: of every layer that has one, or the network's own."""

TARGETS: tuple[Target, ...] = get_args(Target)
DENSE: tuple[Target, ...] = TARGETS[:7]
"""Attention and the dense MLPs: router, experts and self-conditioning stay as they are."""


@dataclass(frozen=True, kw_only=True)
class AdapterConfig:
    """W becomes W + scale B A, with A [rank, inputs] and B [outputs, rank].

    `scale` is alpha / rank, with `rslora` alpha / sqrt(rank) (arXiv 2312.03732).
    """

    rank: int = 8
    alpha: float = 16.0
    rslora: bool = False
    targets: tuple[Target, ...] = DENSE

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ParameterError(f"rank must be at least 1, got {self.rank!r}")
        if not self.alpha > 0:
            raise ParameterError(f"alpha must be positive, got {self.alpha!r}")
        unknown = [target for target in self.targets if target not in TARGETS]
        if unknown or not self.targets:
            raise ParameterError(
                f"targets must be some of {', '.join(TARGETS)}, got {unknown or self.targets!r}; "
                "experts have no adapters here"
            )

    @property
    def scale(self) -> float:
        root: float = self.rank**0.5
        return self.alpha / (root if self.rslora else self.rank)
