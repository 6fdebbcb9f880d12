"""From an automaton over bytes to one over the tokens of a vocabulary, in classes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from canvaslm.control.automaton import TokenAutomaton
from canvaslm.control.language.dfa import Dfa
from canvaslm.control.language.nfa import too_large
from canvaslm.control.language.reach import Ints, distances
from canvaslm.control.language.symbols import Symbols
from canvaslm.control.language.vocabulary import Vocabulary
from canvaslm.errors import ConstraintError

# V vocabulary, S states, E edges, K classes of symbols, F moves

_MAX_EDGES = 20_000_000
_NONE, _STAY = 0, 1  # the move that leads nowhere, and the one that writes nothing


def to_tokens(dfa: Dfa, symbols: Symbols, vocabulary: Vocabulary) -> TokenAutomaton:
    """The token strings whose bytes `dfa` accepts.

    Tokens are grouped by what they do while the tree of the vocabulary is walked: two beginnings
    that lead every state to the same places are one from then on. Raises ConstraintError where the
    vocabulary cannot spell anything that is accepted, or lacks a control token.
    """
    moves = _Moves(dfa)
    move_V = np.full(vocabulary.size, _NONE, np.int64)
    for ids, move_T in _walk(moves, symbols, vocabulary):
        move_V[ids] = move_T
    for name, kind in symbols.controls.items():
        if name not in vocabulary.controls:
            raise ConstraintError(
                f"the tokenizer has no control token {name!r}, which the constraint needs: use a"
                " model that writes tool calls so, or constrain its text"
            )
        move_V[vocabulary.controls[name]] = moves.after(np.array([_STAY * moves.kinds + kind]))[0]
    return _collect(moves, move_V, dfa)


class _Moves:
    """Partial maps of states to states, each known once: what some bytes do to every state."""

    def __init__(self, dfa: Dfa) -> None:
        self._next_KS = np.ascontiguousarray(dfa.next_SK.T)
        self.kinds = len(self._next_KS)
        every = np.arange(dfa.states, dtype=np.int32)
        nowhere = np.zeros(0, np.int32)
        self.sources = [nowhere, every]
        self.targets = [nowhere, every]
        self._number = {b"": _NONE, every.tobytes() * 2: _STAY}
        self._after = np.full((64, self.kinds), -1, np.int64)
        self._after[_NONE] = _NONE
        self._edges = 0

    def after(self, pairs_N: NDArray[np.int64]) -> NDArray[np.int64]:
        """The moves (move, then symbol class), each pair given as move * K + class."""
        wanted = np.zeros(len(self.sources) * self.kinds, np.bool_)
        wanted[pairs_N] = True
        flat = self._after.reshape(-1)
        for pair in np.flatnonzero(wanted & (flat[: len(wanted)] < 0)).tolist():
            self._after[divmod(pair, self.kinds)] = self._compose(*divmod(pair, self.kinds))
        return self._after.reshape(-1)[pairs_N]

    def _compose(self, move: int, kind: int) -> int:
        targets = self._next_KS[kind][self.targets[move]]
        kept = targets >= 0
        sources, targets = self.sources[move][kept], targets[kept]
        number = self._number.setdefault(sources.tobytes() + targets.tobytes(), len(self.sources))
        if number == len(self.sources):
            self._add(sources, targets)
        return number

    def _add(self, sources: Ints, targets: Ints) -> None:
        self._edges += len(sources)
        if self._edges > _MAX_EDGES:
            raise too_large(f"{_MAX_EDGES:,} edges over the vocabulary")
        self.sources.append(sources)
        self.targets.append(targets)
        if len(self.sources) > len(self._after):
            more = np.full_like(self._after, -1)
            self._after = np.concatenate([self._after, more])


def _walk(
    moves: _Moves, symbols: Symbols, vocabulary: Vocabulary
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Tokens and their moves, level by level of the tree."""
    move_N = np.array([_STAY])
    class_of_byte = symbols.class_of_byte.astype(np.int64)
    for level in vocabulary.levels:
        move_N = moves.after(move_N[level.parent_N] * moves.kinds + class_of_byte[level.byte_N])
        yield level.token_T, move_N[level.node_T]
        if not move_N.any():
            return


def _collect(moves: _Moves, move_V: NDArray[np.int64], dfa: Dfa) -> TokenAutomaton:
    """Trim to the states that tokens reach and that reach an end, and number what is left."""
    used_F = np.unique(move_V)
    sizes_F = [len(moves.sources[move]) for move in used_F]
    source_E = np.concatenate([moves.sources[move] for move in used_F])
    target_E = np.concatenate([moves.targets[move] for move in used_F])
    move_E = np.repeat(np.arange(len(used_F)), sizes_F)
    finals = np.flatnonzero(dfa.accepting_S).astype(np.int32)
    reached_S = distances(source_E, target_E, np.zeros(1, np.int32), states=dfa.states)
    ahead_S = distances(target_E, source_E, finals, states=dfa.states)
    if ahead_S[0] < 0:
        raise ConstraintError(
            "no tokens of the vocabulary spell anything that the constraint allows: check its"
            " alphabet, or use a tokenizer with an entry for each byte"
        )
    alive_S = (reached_S >= 0) & (ahead_S >= 0)
    kept_E = alive_S[source_E] & alive_S[target_E]
    number_S = np.cumsum(alive_S, dtype=np.int32) - 1
    source_E, target_E = number_S[source_E[kept_E]], number_S[target_E[kept_E]]
    class_F, first_E = _group(source_E, target_E, move_E[kept_E], len(used_F))
    label_E = class_F[move_E[kept_E]]
    order = np.lexsort((label_E, source_E))
    order = order[first_E[order]]
    return TokenAutomaton(
        class_of_V=class_F[np.searchsorted(used_F, move_V)],
        classes=int(class_F.max()) + 1,
        source_E=source_E[order],
        label_E=label_E[order],
        target_E=target_E[order],
        accepting_S=dfa.accepting_S[alive_S],
        distance_S=ahead_S[alive_S],
    )


def _group(
    source_E: Ints, target_E: Ints, move_E: NDArray[np.int64], moves: int
) -> tuple[Ints, NDArray[np.bool_]]:
    """The class of each move, 0 for one without edges, and the edges of each class's first move.

    Moves that differed at trimmed states only fall together here.
    """
    bounds = np.searchsorted(move_E, np.arange(moves + 1))
    number: dict[bytes, int] = {b"": 0}
    class_F = np.zeros(moves, np.int32)
    first_E = np.zeros(len(move_E), np.bool_)
    for move in range(moves):
        span = slice(bounds[move], bounds[move + 1])
        key = source_E[span].tobytes() + target_E[span].tobytes()
        first_E[span] = key not in number
        class_F[move] = number.setdefault(key, len(number))
    return class_F, first_E
