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
    """T = t_min + (t_max - t_min) * remaining / max_steps: hot at first, then towards t_min.

    With `over` it falls as if there were only so many steps, and stays where they end: a canvas
    makes up its mind sooner, and one that does not has its steps all the same.
    """

    t_min: float = 0.4
    t_max: float = 0.8
    max_steps: int = 48
    over: int | None = None

    def __post_init__(self) -> None:
        check(self.t_min, self.t_max, self.max_steps)
        if self.over is not None and not 1 <= self.over <= self.max_steps:
            raise ParameterError(
                f"over must be between 1 and max_steps={self.max_steps}, got {self.over!r}"
            )

    def at(self, remaining: int, past: Past = START) -> float:
        over = self.max_steps if self.over is None else self.over
        left = max(over - self.max_steps + remaining, 1)
        return self.t_min + (self.t_max - self.t_min) * (left / over)


@dataclass(frozen=True, kw_only=True)
class ByProgress:
    """T = t_min + (t_max - t_min) * share of the positions that count and were not accepted.

    The range is that of the linear schedule, but a canvas cools as it settles, however many steps
    it may take.
    """

    t_min: float = 0.4
    t_max: float = 0.8
    max_steps: int = 48

    def __post_init__(self) -> None:
        check(self.t_min, self.t_max, self.max_steps)

    def at(self, remaining: int, past: Past = START) -> float | Tensor:
        """Never below the last temperature of the linear schedule, so that `t_min` may be 0."""
        if past.accepted is None:
            return self.t_max
        doubtful_BL = ~past.accepted
        if past.open is None:
            share_B = doubtful_BL.float().mean(dim=-1)
        else:
            share_B = (doubtful_BL & past.open).sum(dim=-1) / past.open.sum(dim=-1).clamp(min=1)
        share_B11 = share_B.clamp(min=1 / self.max_steps)[:, None, None]
        return self.t_min + (self.t_max - self.t_min) * share_B11


def check(t_min: float, t_max: float, max_steps: int) -> None:
    """Raise ParameterError for a schedule that cannot be."""
    if not 0 <= t_min <= t_max or t_max == 0:
        raise ParameterError(
            f"temperatures must satisfy 0 <= t_min <= t_max and t_max > 0, got t_min="
            f"{t_min!r} and t_max={t_max!r}"
        )
    if max_steps < 1:
        raise ParameterError(f"max_steps must be at least 1, got {max_steps!r}")
