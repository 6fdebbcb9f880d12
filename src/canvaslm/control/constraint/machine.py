"""A token automaton completed by its end: what may follow what, and what still fits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from canvaslm.control.automaton import TokenAutomaton
from canvaslm.errors import ConstraintError, ParameterError

# V vocabulary, S states, E edges, C classes

Ints = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Machine:
    """An automaton with one state more, the sink: end tokens lead there from every accepting state
    and keep it there.

    The end tokens are the last class, `classes - 1`; class 0 is never allowed. Edges are sorted by
    source, then label; those of state s are `first_S[s]` up to `first_S[s + 1]`. `distance_S` is
    the fewest tokens to a complete text, 0 where the text may stop: no end token is owed where the
    answer stops at its limit.
    """

    class_of_V: Ints
    classes: int
    source_E: Ints
    label_E: Ints
    target_E: Ints
    first_S: NDArray[np.int64]
    distance_S: Ints
    start: int

    @property
    def sink(self) -> int:
        return len(self.distance_S) - 1

    def least_room(self, state: int) -> int:
        """The fewest tokens that complete the text from `state`."""
        return int(self.distance_S[state])

    def allowed_mask(self, state: int, room: int) -> Tensor:
        """The tokens after which the text can still be completed: bool [V], on the CPU.

        `room` counts the tokens that the answer may still take, the next one included.
        """
        labels, targets = self._edges(state)
        allowed_C = np.zeros(self.classes, np.bool_)
        allowed_C[labels[self.distance_S[targets] < room]] = True
        return torch.from_numpy(allowed_C[self.class_of_V])

    def advance(self, state: int, id: int) -> int:
        """The state after one token; ConstraintError where it is not allowed."""
        labels, targets = self._edges(state)
        label = self.class_of_V[id]
        place = int(np.searchsorted(labels, label))
        if place == len(labels) or labels[place] != label:
            raise ConstraintError(
                f"token {id} cannot follow: the constraint allows no text that goes on with it; "
                f"take a token of the allowed mask"
            )
        return int(targets[place])

    def _edges(self, state: int) -> tuple[Ints, Ints]:
        low, high = self.first_S[state], self.first_S[state + 1]
        return self.label_E[low:high], self.target_E[low:high]


@lru_cache(maxsize=64)
def complete(automaton: TokenAutomaton, end_ids: frozenset[int]) -> Machine:
    """The automaton with its sink, kept for the last 64; `end_ids` end a text wherever it may.

    Raises ParameterError where there is no end token, or one lies outside the vocabulary.
    """
    size = len(automaton.class_of_V)
    if not end_ids or min(end_ids) < 0 or max(end_ids) >= size:
        raise ParameterError(
            f"end_ids must be one or more ids below {size}, got {sorted(end_ids)}; name the tokens "
            f"that end an answer"
        )
    end, sink = automaton.classes, automaton.states
    stops = np.append(np.flatnonzero(automaton.accepting_S), sink)
    source_E = np.append(automaton.source_E, stops).astype(np.int32)
    order = np.argsort(source_E, kind="stable")  # the end comes last among the edges of a state
    class_of_V = automaton.class_of_V.astype(np.int32)
    class_of_V[list(end_ids)] = end
    return Machine(
        class_of_V=class_of_V,
        classes=end + 1,
        source_E=source_E[order],
        label_E=np.append(automaton.label_E, np.full_like(stops, end)).astype(np.int32)[order],
        target_E=np.append(automaton.target_E, np.full_like(stops, sink)).astype(np.int32)[order],
        first_S=np.searchsorted(source_E[order], np.arange(sink + 2)),
        distance_S=np.append(automaton.distance_S, 0).astype(np.int32),
        start=automaton.start,
    )
