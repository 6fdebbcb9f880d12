"""Ways to answer the same cases, compared case by case."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One case, answered one way: whether rightly, and what it took."""

    correct: bool
    steps: int
    canvases: int
    tokens: int
    milliseconds: float


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean and its standard error, None of a single case."""

    mean: float
    error: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """There must be at least one value."""
        n = len(values)
        mean = math.fsum(values) / n
        if n == 1:
            return cls(mean=mean, error=None)
        variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
        return cls(mean=mean, error=math.sqrt(variance / n))


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One way against another on the `n` cases that both answered.

    score         share answered rightly
    difference    score minus the other's, case by case
    steps         denoising passes per canvas; `steps_ratio` over the other's
    milliseconds  per answer; `time_ratio` over the other's
    short_ratio   the same over the `short` answers, those the other gave in fewer than 32 tokens;
                  None where there are none
    """

    n: int
    score: Estimate
    difference: Estimate
    steps: float
    steps_ratio: float
    milliseconds: float
    time_ratio: float
    short: int
    short_ratio: float | None


SHORT = 32
"""Answers of fewer tokens are short."""


def compare(ways: Mapping[int, Answered], base: Mapping[int, Answered]) -> Compared:
    """`ways` and `base` hold answers by case; at least one case must be in both."""
    shared = sorted(ways.keys() & base.keys())
    pairs = [(ways[case], base[case]) for case in shared]
    short = [(mine, other) for mine, other in pairs if other.tokens < SHORT]
    steps, base_steps = (per_canvas([pair[i] for pair in pairs]) for i in (0, 1))
    milliseconds = math.fsum(mine.milliseconds for mine, _ in pairs)
    return Compared(
        n=len(pairs),
        score=Estimate.of([float(mine.correct) for mine, _ in pairs]),
        difference=Estimate.of([float(mine.correct) - other.correct for mine, other in pairs]),
        steps=steps,
        steps_ratio=steps / base_steps,
        milliseconds=milliseconds / len(pairs),
        time_ratio=time_ratio(pairs),
        short=len(short),
        short_ratio=time_ratio(short) if short else None,
    )


def per_canvas(answers: Sequence[Answered]) -> float:
    return sum(one.steps for one in answers) / sum(one.canvases for one in answers)


def time_ratio(pairs: Sequence[tuple[Answered, Answered]]) -> float:
    mine = math.fsum(one.milliseconds for one, _ in pairs)
    return mine / math.fsum(other.milliseconds for _, other in pairs)
