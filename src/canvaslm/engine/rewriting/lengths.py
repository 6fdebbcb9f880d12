"""How long a gap is: the first step's confidence, told apart from what length alone does to it.

CAL (arXiv 2602.00476): a model that is shown a gap of the right length is surer of its first guess
than at lengths near by; but short gaps look surer anyhow. So the confidence at each length is
divided by what the model shows at that length where nothing can be known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import linear_regression

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
    """Confidence by length alone: scale * length ** power."""

    scale: float
    power: float

    def at(self, length: int) -> float:
        return self.scale * float(length**self.power)

    @classmethod
    def fit(cls, lengths: Sequence[int], confidence: Sequence[float]) -> LengthBias:
        """The closest to these by least squares of logarithms; there must be two lengths or more.

        A curve of two numbers, as what single lengths show is mostly chance.
        """
        power, intercept = linear_regression(
            [math.log(length) for length in lengths], [math.log(value) for value in confidence]
        )
        return cls(scale=math.exp(intercept), power=power)


FLAT = LengthBias(scale=1.0, power=0.0)
"""Confidence as it is."""


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
