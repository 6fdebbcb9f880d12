"""When a canvas has settled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from canvaslm.diffusion.account import is_any
from canvaslm.diffusion.view import View
from canvaslm.errors import ParameterError

# B batch, L canvas


class Stop(Protocol):
    """A rule for committing. It compares with `looks_back` earlier likeliest canvases."""

    @property
    def looks_back(self) -> int: ...

    def settled(self, view: View) -> Tensor:
        """Boolean [B]: may each canvas be committed?"""
        ...


@dataclass(frozen=True, kw_only=True)
class StableAndConfident:
    """Settled when the likeliest canvas has not changed for `stability` steps and H is small.

    `confidence` bounds the mean entropy over the canvas, in nats. With `stability` 0 only that
    counts.
    """

    stability: int = 1
    confidence: float = 0.005

    def __post_init__(self) -> None:
        if self.stability < 0:
            raise ParameterError(f"stability must be at least 0 steps, got {self.stability!r}")
        if not self.confidence > 0:
            raise ParameterError(f"confidence must be positive (nats), got {self.confidence!r}")

    @property
    def looks_back(self) -> int:
        return self.stability

    def settled(self, view: View) -> Tensor:
        """Where some positions do not count, the mean and the comparison are over the others."""
        if view.open is None:
            sure_B = view.entropy.mean(dim=-1) < self.confidence
        else:
            count_B = view.open.sum(dim=-1).clamp(min=1)
            sure_B = view.entropy.sum(dim=-1) < self.confidence * count_B
        return sure_B & unchanged(view, self.stability)


@dataclass(frozen=True, kw_only=True)
class Sure:
    """Settled when the doubt of all positions together is at most `total` nats, at once.

    That is the bound on how far independent draws can be from a joint one (`accept.EntropyBound`):
    where it holds for the whole canvas, all of it is accepted together, and a further step would
    confirm it.
    """

    total: float = 0.1
    looks_back: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if not self.total > 0:
            raise ParameterError(f"total must be positive (nats), got {self.total!r}")

    def settled(self, view: View) -> Tensor:
        return view.entropy.sum(dim=-1) <= self.total


@dataclass(frozen=True, kw_only=True)
class Unmoved:
    """Settled when the likeliest canvas has not changed for `steps` steps, whatever its doubt."""

    steps: int = 4

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ParameterError(f"steps must be at least 1, got {self.steps!r}")

    @property
    def looks_back(self) -> int:
        return self.steps

    def settled(self, view: View) -> Tensor:
        return unchanged(view, self.steps)


@dataclass(frozen=True, kw_only=True)
class TooShort:
    """Settled when the likeliest canvas holds no end token: the text needs a longer canvas."""

    end_ids: frozenset[int]
    looks_back: ClassVar[int] = 0

    def settled(self, view: View) -> Tensor:
        return ~is_any(view.best, self.end_ids).any(dim=-1)


@dataclass(frozen=True, kw_only=True)
class AnyOf:
    """Settled when one of `rules` says so."""

    rules: tuple[Stop, ...]

    def __post_init__(self) -> None:
        if not self.rules:
            raise ParameterError("any of no rules would never stop: give one or more")

    @property
    def looks_back(self) -> int:
        return max(rule.looks_back for rule in self.rules)

    def settled(self, view: View) -> Tensor:
        return torch.stack([rule.settled(view) for rule in self.rules]).any(dim=0)


def unchanged(view: View, steps: int) -> Tensor:
    """bool [B]: is the likeliest canvas, where it counts, what it was for `steps` steps before?"""
    earlier, best_BL = view.past.best, view.best
    same_B = torch.full((len(best_BL),), len(earlier) >= steps, device=best_BL.device)
    for before_BL in earlier[len(earlier) - steps :] if len(earlier) >= steps else ():
        same_BL = before_BL == best_BL
        same_B &= (same_BL if view.open is None else same_BL | ~view.open).all(dim=-1)
    return same_B
