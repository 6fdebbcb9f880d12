"""Notices a text that repeats itself: one stretch of tokens, again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from canvaslm.diffusion.statistics import Statistics
from canvaslm.errors import ParameterError

# L canvas, V vocabulary


@dataclass(frozen=True, kw_only=True)
class Loop:
    """`period` tokens from position `start` on, repeated over `length` tokens."""

    start: int
    period: int
    length: int

    @property
    def stop(self) -> int:
        """Where the repetition ends: the position after its last token."""
        return self.start + self.length

    @property
    def repeats(self) -> float:
        return self.length / self.period


@dataclass(frozen=True, kw_only=True)
class LoopGuard:
    """A loop is a stretch of at most `longest` tokens that stands at least `repeats` times in a
    row and covers at least `tokens` tokens.

    Lists and tables repeat their form, not their contents, for so long, and a line drawn with one
    character is no wider than a page.
    """

    repeats: int = 4
    tokens: int = 80
    longest: int = 64

    def __post_init__(self) -> None:
        for name, least in (("repeats", 2), ("tokens", 1), ("longest", 1)):
            if getattr(self, name) < least:
                raise ParameterError(f"{name} must be at least {least}, got {getattr(self, name)}")

    @property
    def reach(self) -> int:
        """How many tokens before new ones may belong to a loop that the new ones complete."""
        return max(self.tokens, self.repeats * self.longest)

    def find(self, ids: Sequence[int]) -> Loop | None:
        """The loop of the shortest period in `ids`, its longest run; None: there is none."""
        given = np.asarray(ids, dtype=np.int64)
        for period in range(1, min(self.longest, len(given) // self.repeats) + 1):
            start, same = longest_run(given[period:] == given[:-period])
            length = same + period
            if length >= max(self.tokens, self.repeats * period):
                return Loop(start=start, period=period, length=length)
        return None


GUARD = LoopGuard()
"""What counts as a loop everywhere in the engine."""


def longest_run(flags: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> tuple[int, int]:
    """Where the first of the longest runs of True begins, and how long it is."""
    edges = np.diff(np.concatenate(([0], flags.astype(np.int8), [0])))
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    if not len(starts):
        return 0, 0
    place = int((stops - starts).argmax())
    return int(starts[place]), int(stops[place] - starts[place])


@dataclass(frozen=True, kw_only=True, eq=False)
class Discourage:
    """A rule that takes `nats` off the logits of some tokens: those a loop was made of."""

    constant: ClassVar[bool] = True

    ids: Sequence[int]
    nats: float

    def apply(self, logits_LV: Tensor, said: Sequence[int], before: Statistics | None) -> None:
        logits_LV[:, torch.tensor(self.ids, device=logits_LV.device)] -= self.nats
