"""Intervals by resampling the cases: seeded, and the same resamples for every quantity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

Ratio = tuple[Sequence[float], Sequence[float]]
"""A quantity as numerators and denominators of each case: it is the ratio of their sums."""

DRAWS = 2000
_PART = 200
_LOW, _HIGH = 0.025, 0.975


def intervals(
    quantities: Mapping[str, Ratio], *, seed: int = 0, draws: int = DRAWS
) -> dict[str, tuple[float, float]]:
    """The 95 % percentile interval of each quantity; those without any denominator are left out.

    All have an entry for each of the same cases. The same seed gives the same intervals.
    """
    known = {
        name: (np.asarray(a, float), np.asarray(b, float)) for name, (a, b) in quantities.items()
    }
    found = {name: np.full(draws, np.nan) for name in known}
    cases = {len(above) for above, _ in known.values()} - {0}
    if not cases:
        return {}
    (n,) = cases
    rng = np.random.Generator(np.random.PCG64(seed))
    for start in range(0, draws, _PART):
        drawn = rng.integers(n, size=(min(_PART, draws - start), n))
        for name, (above, below) in known.items():
            total = below[drawn].sum(axis=1)
            with np.errstate(invalid="ignore", divide="ignore"):
                found[name][start : start + len(drawn)] = above[drawn].sum(axis=1) / total
    return {name: _interval(values) for name, values in found.items() if np.isfinite(values).any()}


def _interval(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    low, high = np.quantile(finite, (_LOW, _HIGH))
    return float(low), float(high)


def mean(values: Sequence[float]) -> Ratio:
    """A mean over all cases, as a ratio."""
    return values, [1.0] * len(values)
