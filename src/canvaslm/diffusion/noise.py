"""The noise a canvas starts from and returns to: uniform over the vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from canvaslm.errors import ParameterError


@dataclass(frozen=True, kw_only=True)
class UniformNoise:
    """Every token equally likely, at every position for itself."""

    vocab_size: int

    def __post_init__(self) -> None:
        if self.vocab_size < 1:
            raise ParameterError(f"vocab_size must be at least 1, got {self.vocab_size!r}")

    def tokens(self, uniform_BL: Tensor) -> Tensor:
        """Token ids, int64, for numbers in [0, 1) held in float64."""
        return (uniform_BL * self.vocab_size).long()
