"""How long a gap is: the first step's confidence, told apart from what length alone does to it.

CAL (arXiv 2602.00476): a model that is shown a gap of the right length is surer of its first guess
than at lengths near by; but short gaps look surer anyhow. So the confidence at each length is
divided by what the model shows at that length where nothing can be known.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Measure = Callable[[Sequence[int]], Sequence[float]]
"""The first step's confidence at each of these lengths."""


def coarse(most: int) -> list[int]:
    """Lengths to begin with, 1 to `most`, each about 4/3 times the one before."""
    lengths = [1]
    while lengths[-1] < most:
        lengths.append(min(max(lengths[-1] + 1, lengths[-1] * 4 // 3), most))
    return lengths


@dataclass(frozen=True, kw_only=True)
class LengthBias:
    """Confidence at some lengths, ascending; between them linear in the logarithm of the length."""

    lengths: Sequence[int]
    confidence: Sequence[float]

    def at(self, length: int) -> float:
        """Beyond the ends it stays as it is there."""
        place = bisect_left(self.lengths, length)
        if place == len(self.lengths):
            return self.confidence[-1]
        if place == 0 or self.lengths[place] == length:
            return self.confidence[place]
        low, high = self.lengths[place - 1], self.lengths[place]
        share = math.log(length / low) / math.log(high / low)
        return self.confidence[place - 1] * (1 - share) + self.confidence[place] * share


def search(measure: Measure, bias: LengthBias, *, most: int, keep: int) -> dict[int, float]:
    """Scores of the lengths that were looked at: coarse ones, then those around the best.

    Each round halves the way from the `keep` best to their neighbours, until nothing lies between.
    """
    scores: dict[int, float] = {}
    wanted = coarse(most)
    while wanted:
        found = measure(wanted)
        scores |= {k: c / bias.at(k) for k, c in zip(wanted, found, strict=True)}
        wanted = between(scores, best(scores, keep))
    return scores


def best(scores: Mapping[int, float], count: int) -> list[int]:
    """The lengths of the highest scores, best first; of equals the shorter."""
    return sorted(scores, key=lambda length: (-scores[length], length))[:count]


def between(scores: Mapping[int, float], chosen: Sequence[int]) -> list[int]:
    """The middles between the chosen lengths and their neighbours, where there are any left."""
    known = sorted(scores)
    middles = set()
    for length in chosen:
        place = known.index(length)
        for other in known[max(place - 1, 0) : place + 2]:
            middles.add((length + other) // 2)
    return sorted(middles - scores.keys())


FLAT = LengthBias(lengths=[1], confidence=[1.0])
"""Confidence as it is."""
