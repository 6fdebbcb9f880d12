"""A finite automaton over tokens, in classes: the form in which a constraint meets a canvas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# V vocabulary, S states, E edges, C classes


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenAutomaton:
    """Which token strings are allowed, end tokens aside.

    Tokens that lead every state to the same places share a class; an edge is (state, class, state),
    at most one for each state and class. Class 0 holds the tokens that are never allowed, control
    and end tokens among them, and has no edge. Every state is reachable from `start` and reaches
    an accepting one.

    class_of_V    the class of each token: int32 [V]
    classes       C, the number of classes, class 0 included
    source_E, label_E, target_E
                  the edges: states, classes and states, int32 [E], sorted by source, then label
    accepting_S   bool [S]: the text may end here
    distance_S    fewest tokens from each state to an accepting one: int32 [S]
    """

    class_of_V: NDArray[np.int32]
    classes: int
    source_E: NDArray[np.int32]
    label_E: NDArray[np.int32]
    target_E: NDArray[np.int32]
    accepting_S: NDArray[np.bool_]
    distance_S: NDArray[np.int32]
    start: int = 0

    @property
    def states(self) -> int:
        return len(self.accepting_S)
