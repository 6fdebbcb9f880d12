"""Sets of characters: ranges of code points, and the UTF-8 bytes that spell them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache, lru_cache

Ranges = tuple[tuple[int, int], ...]
"""Inclusive ranges of code points: sorted, apart from each other, without surrogates."""

_LAST = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)
_LENGTH_ENDS = (0x7F, 0x7FF, 0xFFFF, _LAST)  # the last code point of 1, 2, 3 and 4 bytes


def ranges(pairs: Iterable[tuple[int, int]]) -> Ranges:
    """The union of `pairs`, surrogates left out."""
    merged: list[list[int]] = []
    for low, high in sorted(_drop_surrogates(pairs)):
        if merged and low <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], high)
        else:
            merged.append([low, high])
    return tuple((low, high) for low, high in merged)


def _drop_surrogates(pairs: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    first, last = _SURROGATES
    for low, high in pairs:
        if low < first:
            yield low, min(high, first - 1)
        if high > last:
            yield max(low, last + 1), high


def letters_of(text: str) -> Ranges:
    return ranges((ord(c), ord(c)) for c in text)


def complement(some: Ranges) -> Ranges:
    gaps = []
    start = 0
    for low, high in some:
        gaps.append((start, low - 1))
        start = high + 1
    gaps.append((start, _LAST))
    return ranges((low, high) for low, high in gaps if low <= high)


def minus(some: Ranges, other: Ranges) -> Ranges:
    return complement(ranges((*complement(some), *other)))


def intersection(some: Ranges, other: Ranges) -> Ranges:
    return complement(ranges((*complement(some), *complement(other))))


def members(some: Ranges) -> Iterator[int]:
    return (point for low, high in some for point in range(low, high + 1))


EVERY = complement(())


@cache
def unicode_set(name: str) -> Ranges:
    r"""What `\d`, `\w` or `\s` match in a str pattern of Python: `name` is "d", "w" or "s"."""
    tests: dict[str, Callable[[str], bool]] = {
        "d": str.isdecimal,
        "w": str.isalnum,
        "s": str.isspace,
    }
    points = range(_LAST + 1)
    found = [point for point in points if tests[name](chr(point))]
    return ranges([(p, p) for p in found] + ([(ord("_"), ord("_"))] if name == "w" else []))


@cache
def ascii_set(name: str) -> Ranges:
    test = re.compile(rf"\{name}", re.ASCII)
    return ranges((point, point) for point in range(128) if test.match(chr(point)))


Spelling = tuple[tuple[int, int], ...]
"""A range of bytes for each place of a sequence."""


def _spellings(low: int, high: int) -> Iterator[Spelling]:
    """UTF-8 of all code points from `low` to `high`, as sequences of byte ranges."""
    for end in _LENGTH_ENDS:
        if low <= end < high:
            yield from _spellings(low, end)
            low = end + 1
    if high < 0x80:
        yield ((low, high),)
        return
    tail = len(chr(high).encode()) - 1
    for place in range(1, tail + 1):
        block = (1 << (6 * place)) - 1
        if low & ~block == high & ~block:
            continue
        if low & block:
            yield from _spellings(low, low | block)
            yield from _spellings((low | block) + 1, high)
            return
        if high & block != block:
            yield from _spellings(low, (high & ~block) - 1)
            yield from _spellings(high & ~block, high)
            return
    yield tuple(zip(chr(low).encode(), chr(high).encode(), strict=True))


ByteEdges = tuple[tuple[int, int, int], ...]
"""Edges (from, set of bytes, to) of an automaton from state 0 to state 1; a set is 256 bits."""


@lru_cache(maxsize=1024)
def byte_edges(some: Ranges) -> ByteEdges:
    """The smallest automaton over bytes for one character of `some`."""
    states: dict[frozenset[Spelling], int] = {frozenset([()]): 1}
    edges: list[tuple[int, int, int]] = []

    def visit(spellings: frozenset[Spelling], state: int) -> None:
        tails: dict[tuple[int, int], set[Spelling]] = {}
        for first, *rest in spellings:
            tails.setdefault(first, set()).add(tuple(rest))
        sets: dict[frozenset[Spelling], int] = {}
        for (low, high), tail in tails.items():
            key = frozenset(tail)
            sets[key] = sets.get(key, 0) | (1 << (high + 1)) - (1 << low)
        for key, bits in sets.items():
            known = key in states
            end = states.setdefault(key, len(states) + 1)
            edges.append((state, bits, end))
            if not known:
                visit(key, end)

    visit(frozenset(s for low, high in some for s in _spellings(low, high)), 0)
    return tuple(edges)
