"""Schedules: the share of the full learning rate at each step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from canvaslm.errors import TrainingError


class Schedule(Protocol):
    """A rule for the learning rate."""

    def rate(self, step: int, steps: int) -> float:
        """The share in [0, 1] at `step` of `steps`, counted from 0."""
        ...


@dataclass(frozen=True, kw_only=True)
class Trapezoid:
    """Rises over `warmup` steps, stays, and falls linearly over the last `decay` share of them."""

    warmup: int = 100
    decay: float = 0.3

    def __post_init__(self) -> None:
        if self.warmup < 0 or not 0 <= self.decay <= 1:
            raise TrainingError(
                f"a schedule needs warmup >= 0 and decay in [0, 1], got {self.warmup!r} and "
                f"{self.decay!r}"
            )

    def rate(self, step: int, steps: int) -> float:
        rising = (step + 1) / max(1, self.warmup)
        falling = (steps - step) / max(1.0, self.decay * steps)
        return min(1.0, rising, falling)


@dataclass(frozen=True, kw_only=True)
class Constant:
    """Rises over `warmup` steps and stays."""

    warmup: int = 0

    def __post_init__(self) -> None:
        check(self.warmup, 0.0)

    def rate(self, step: int, steps: int) -> float:
        del steps
        return min(1.0, (step + 1) / max(1, self.warmup))


@dataclass(frozen=True, kw_only=True)
class Linear:
    """Rises over `warmup` steps and falls linearly to `floor`."""

    warmup: int = 0
    floor: float = 0.0

    def __post_init__(self) -> None:
        check(self.warmup, self.floor)

    def rate(self, step: int, steps: int) -> float:
        left = 1 - progress(step, steps, self.warmup)
        return rising(step, self.warmup) * (self.floor + (1 - self.floor) * left)


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """Rises over `warmup` steps and falls to `floor` by half a cosine."""

    warmup: int = 0
    floor: float = 0.0

    def __post_init__(self) -> None:
        check(self.warmup, self.floor)

    def rate(self, step: int, steps: int) -> float:
        left = (1 + math.cos(math.pi * progress(step, steps, self.warmup))) / 2
        return rising(step, self.warmup) * (self.floor + (1 - self.floor) * left)


def check(warmup: int, floor: float) -> None:
    if warmup < 0 or not 0 <= floor <= 1:
        raise TrainingError(
            f"a schedule needs warmup >= 0 and floor in [0, 1], got {warmup!r} and {floor!r}"
        )


def rising(step: int, warmup: int) -> float:
    return min(1.0, (step + 1) / max(1, warmup))


def progress(step: int, steps: int, warmup: int) -> float:
    """How much of the way after the rise is done, in [0, 1)."""
    return min(1.0, max(0, step + 1 - warmup) / max(1, steps + 1 - warmup))
