"""Where a sequence is cut before it is encoded: by its own content, never by what is known of it.

The bits of K and V depend on which tokens are encoded together. So the cuts are where a page ends,
and behind each token that closes a turn; then a prompt that goes on from pages that were there
before is encoded in the same pieces as one from its start, and two prompts with the same first
turns share them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

LEAST = 8
"""Tokens that a turn has at least to end a piece: each piece is a pass, and small ones are dear."""


class Piece(NamedTuple):
    """Tokens that are encoded together; `whole` if they would be, whatever came behind them."""

    ids: tuple[int, ...]
    whole: bool


def cut(ids: Sequence[int], *, at: int, size: int, breaks: Collection[int]) -> Iterator[Piece]:
    """`ids` in pieces, the first of which starts at position `at`.

    A piece ends where a page of `size` tokens ends, or behind one of `breaks` if it then has LEAST
    tokens or more. Cutting what follows a whole piece gives the same as going on.
    """
    low = 0
    while low < len(ids):
        room = size - (at + low) % size
        high = min(low + room, len(ids))
        close = None
        if breaks:
            ends = range(low + LEAST, high + 1)
            close = next((end for end in ends if ids[end - 1] in breaks), None)
        whole = close is not None or high - low == room
        high = high if close is None else close
        yield Piece(tuple(ids[low:high]), whole)
        low = high
