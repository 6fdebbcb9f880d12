"""Breadth-first search over a graph given as arrays of edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# S states, E edges

Ints = NDArray[np.int32]


@dataclass(frozen=True)
class Steps:
    """The edges of a graph, grouped by where they start."""

    first_S: NDArray[np.int64]  # [S + 1], the place in end_E of each state's first edge
    end_E: Ints

    @classmethod
    def of(cls, source_E: Ints, target_E: Ints, *, states: int) -> Steps:
        counts_S = np.bincount(source_E, minlength=states)
        first_S = np.concatenate([[0], np.cumsum(counts_S)])
        return cls(first_S, target_E[np.argsort(source_E, kind="stable")])

    def after(self, states_N: Ints) -> Ints:
        """The ends of all edges from `states_N`."""
        low_N = self.first_S[states_N]
        counts_N = self.first_S[states_N + 1] - low_N
        shift_N = low_N - np.concatenate([[0], np.cumsum(counts_N)[:-1]])
        ends: Ints = self.end_E[np.repeat(shift_N, counts_N) + np.arange(counts_N.sum())]
        return ends


def distances(source_E: Ints, target_E: Ints, starts: Ints, *, states: int) -> Ints:
    """Fewest edges from any of `starts` to each state: [S], -1 where there is no way."""
    steps = Steps.of(source_E, target_E, states=states)
    found_S = np.full(states, -1, np.int32)
    front = np.unique(starts).astype(np.int32)
    distance = 0
    while len(front):
        found_S[front] = distance
        ends = steps.after(front)
        front = np.unique(ends[found_S[ends] < 0])
        distance += 1
    return found_S
