"""How sharp the logits are made at each step of a canvas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from canvaslm.diffusion.view import START, Past
from canvaslm.errors import ParameterError

# B batch


class Temperature(Protocol):
    """A schedule over at most `max_steps` steps."""

    @property
    def max_steps(self) -> int: ...

    def at(self, remaining: int, past: Past) -> float | Tensor:
        """The temperature while `remaining` steps are left, this one included: above 0, one for all
        rows or [B, 1, 1]."""
        ...


@dataclass(frozen=True, kw_only=True)
class LinearTemperature:
    """T = t_min + (t_max - t_min) * remaining / max_steps: hot at first, then towards t_min."""

    t_min: float = 0.4
    t_max: float = 0.8
    max_steps: int = 48

    def __post_init__(self) -> None:
        if not 0 <= self.t_min <= self.t_max or self.t_max == 0:
            raise ParameterError(
                f"temperatures must satisfy 0 <= t_min <= t_max and t_max > 0, got t_min="
                f"{self.t_min!r} and t_max={self.t_max!r}"
            )
        if self.max_steps < 1:
            raise ParameterError(f"max_steps must be at least 1, got {self.max_steps!r}")

    def at(self, remaining: int, past: Past = START) -> float:
        return self.t_min + (self.t_max - self.t_min) * (remaining / self.max_steps)
