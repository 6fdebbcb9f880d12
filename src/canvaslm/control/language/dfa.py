"""Deterministic automata over classes of bytes: product, trimming, minimisation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from canvaslm.control.language.reach import Ints, distances

# S states, K classes of symbols; -1 as a next state means that no way leads on

_HASH_SEED = 20261121


@dataclass(frozen=True, eq=False)
class Dfa:
    """`next_SK[s, k]` is the state after symbol class k, or -1; state 0 is the start."""

    next_SK: Ints
    accepting_S: NDArray[np.bool_]

    @property
    def states(self) -> int:
        return len(self.accepting_S)

    @cached_property
    def moves(self) -> list[list[tuple[tuple[int, ...], int]]]:
        """For each state its next ones, each with the classes that lead there."""
        found = []
        for row in self.next_SK.tolist():
            ends: dict[int, list[int]] = defaultdict(list)
            for kind, after in enumerate(row):
                if after >= 0:
                    ends[after].append(kind)
            found.append([(tuple(kinds), after) for after, kinds in ends.items()])
        return found

    def accepts(self, classes: Sequence[int]) -> bool:
        state = 0
        for kind in classes:
            state = int(self.next_SK[state, kind])
            if state < 0:
                return False
        return bool(self.accepting_S[state])

    def minimised(self) -> Dfa | None:
        """The smallest automaton of the same language; None where nothing matches."""
        trimmed = self._trimmed()
        return None if trimmed is None else trimmed._merged()

    def _trimmed(self) -> Dfa | None:
        """Only states on a way from the start to an accepting one, nearest to the start first."""
        states_E, kind_E = np.nonzero(self.next_SK >= 0)
        source_E, target_E = states_E.astype(np.int32), self.next_SK[states_E, kind_E]
        finals = np.flatnonzero(self.accepting_S).astype(np.int32)
        ahead_S = distances(target_E, source_E, finals, states=self.states)
        from_start_S = distances(source_E, target_E, np.zeros(1, np.int32), states=self.states)
        if ahead_S[0] < 0:
            return None
        kept = np.flatnonzero((ahead_S >= 0) & (from_start_S >= 0))
        return self._renumbered(kept[np.argsort(from_start_S[kept], kind="stable")])

    def _renumbered(self, kept: NDArray[np.int64]) -> Dfa:
        number_S = np.full(self.states + 1, -1, np.int32)
        number_S[kept] = np.arange(len(kept), dtype=np.int32)
        return Dfa(number_S[self.next_SK[kept]], self.accepting_S[kept])

    def _merged(self) -> Dfa:
        """Moore's partition refinement, a round being one hash of each state's row of blocks.

        A hash may only merge too much, so the result is checked, and the rounds run again with
        other multipliers where two states of a block differ.
        """
        rng = np.random.default_rng(_HASH_SEED)
        while True:
            block_S = self._refine(rng)
            kept, rows_SK = self._blocks(block_S)
            if np.array_equal(rows_SK, rows_SK[kept][block_S]):
                return Dfa(rows_SK[kept], self.accepting_S[kept])

    def _refine(self, rng: np.random.Generator) -> NDArray[np.int64]:
        odd_K = rng.integers(0, 2**63, self.next_SK.shape[1], dtype=np.uint64) * 2 + 1
        own = rng.integers(0, 2**63, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        block_S = self.accepting_S.astype(np.int64)
        blocks = len(np.unique(block_S))
        while True:
            ext = np.append(block_S + 1, 0).astype(np.uint64)  # the last is read through -1
            hash_S = (ext[self.next_SK] * odd_K).sum(axis=1, dtype=np.uint64) + ext[:-1] * own
            block_S = np.unique(hash_S, return_inverse=True)[1]
            count = int(block_S.max()) + 1
            if count == blocks:
                return block_S
            blocks = count

    def _blocks(self, block_S: NDArray[np.int64]) -> tuple[NDArray[np.int64], Ints]:
        """The first state of each block, and every state's row in blocks, numbered by them."""
        first = np.unique(block_S, return_index=True)[1]
        order = np.argsort(first)
        number = np.empty(len(first), np.int32)
        number[order] = np.arange(len(first), dtype=np.int32)
        block_S[:] = number[block_S]
        ext = np.append(block_S, -1).astype(np.int32)
        return first[order], ext[self.next_SK]


def product(left: Dfa, right: Dfa, *, without: bool) -> Dfa | None:
    """What both match, or, `without`, what `left` matches and `right` does not; None if nothing."""
    dead = right.states  # the state of `right` once it has failed
    rows = np.vstack([right.next_SK, np.full_like(right.next_SK[:1], -1)])
    pairs: dict[tuple[int, int], int] = {(0, 0): 0}
    found = [(0, 0)]
    next_rows: list[Ints] = []
    for a, b in found:
        ends_a, ends_b = left.next_SK[a], rows[b]
        if without:
            ends_b = np.where(ends_b < 0, dead, ends_b)
        row = np.full(len(ends_a), -1, np.int32)
        for kind in np.flatnonzero((ends_a >= 0) & (ends_b >= 0)):
            pair = int(ends_a[kind]), int(ends_b[kind])
            if pair not in pairs:
                pairs[pair] = len(found)
                found.append(pair)
            row[kind] = pairs[pair]
        next_rows.append(row)
    firsts, seconds = np.array(found).T
    in_right = np.append(right.accepting_S, False)[seconds]
    accepting = left.accepting_S[firsts] & (in_right != without)
    return Dfa(np.array(next_rows), accepting).minimised()
