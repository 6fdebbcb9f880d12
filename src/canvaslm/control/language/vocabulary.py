"""A tokenizer's entries as a tree of bytes, in the form in which automata walk it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from canvaslm.errors import ParameterError
from canvaslm.text.tokenizer import Tokenizer

# N nodes of a level, T tokens that end in it


@dataclass(frozen=True, eq=False)
class Level:
    """The nodes at one depth of the tree.

    parent_N, byte_N  each node's parent, a place in the level above, and its last byte
    token_T, node_T   the tokens that end at this depth, and where
    """

    parent_N: NDArray[np.int64]
    byte_N: NDArray[np.int64]
    token_T: NDArray[np.int64]
    node_T: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """What a constraint must know of a tokenizer; compared by identity.

    size      V, ids that the model scores; those without bytes are never allowed
    levels    the tree, from one byte on
    controls  the ids of the control tokens, by name
    """

    size: int
    levels: tuple[Level, ...]
    controls: Mapping[str, int]

    @classmethod
    def of(cls, tokenizer: Tokenizer, *, size: int | None = None) -> Vocabulary:
        """The vocabulary of `tokenizer`, built once; `size` where the model scores more ids.

        End and control tokens carry no bytes. Raises ParameterError for a size that is too small.
        """
        total = tokenizer.vocab_size if size is None else size
        if total < tokenizer.vocab_size:
            raise ParameterError(
                f"size is {total}, fewer than the {tokenizer.vocab_size} ids of the tokenizer"
            )
        known = _KNOWN.setdefault(tokenizer, {})
        if total not in known:
            silent = {*tokenizer.special_ids, *tokenizer.eos_ids}
            ids = range(tokenizer.vocab_size)
            entries = [b"" if id in silent else tokenizer.token_bytes(id) for id in ids]
            controls = {tokenizer.token_text(id): id for id in sorted(tokenizer.special_ids)}
            known[total] = cls.from_bytes(entries, controls=controls, size=total)
        return known[total]

    @classmethod
    def from_bytes(
        cls,
        entries: Sequence[bytes],
        *,
        controls: Mapping[str, int] | None = None,
        size: int | None = None,
    ) -> Vocabulary:
        """The vocabulary whose id n writes `entries[n]`; b"" is never allowed."""
        return cls(size or len(entries), tuple(_levels(entries)), dict(controls or {}))


_KNOWN: WeakKeyDictionary[Tokenizer, dict[int, Vocabulary]] = WeakKeyDictionary()


def _levels(entries: Sequence[bytes]) -> Iterable[Level]:
    lengths = np.fromiter(map(len, entries), np.int64, len(entries))
    text = np.frombuffer(b"".join(entries), np.uint8)
    first = np.cumsum(lengths) - lengths
    alive = np.flatnonzero(lengths)
    node = np.zeros(len(alive), np.int64)
    for depth in range(int(lengths.max(initial=0))):
        pairs = node * 256 + text[first[alive] + depth]
        nodes, node = np.unique(pairs, return_inverse=True)
        ends = lengths[alive] == depth + 1
        yield Level(nodes // 256, nodes % 256, alive[ends], node[ends])
        alive, node = alive[~ends], node[~ends]
