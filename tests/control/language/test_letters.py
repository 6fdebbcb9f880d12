import random

import pytest

from canvaslm.control.language.letters import (
    EVERY,
    Ranges,
    byte_edges,
    complement,
    intersection,
    minus,
    ranges,
    unicode_set,
)

EDGES = [0, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF]


def _reads(some: Ranges, data: bytes) -> bool:
    states = {0}
    for byte in data:
        states = {b for a, bits, b in byte_edges(some) if a in states and bits >> byte & 1}
    return 1 in states


@pytest.mark.parametrize("seed", range(20))
def test_bytes_spell_exactly_the_code_points(seed: int) -> None:
    rng = random.Random(seed)
    points = EDGES + [rng.randrange(0x110000) for _ in range(20)]
    pairs = [sorted(rng.sample(points, 2)) for _ in range(3)]
    some = ranges((low, high) for low, high in pairs)
    for point in points + [p + d for p in points for d in (-1, 1)]:
        if not 0 <= point <= 0x10FFFF or 0xD800 <= point <= 0xDFFF:
            continue
        inside = any(low <= point <= high for low, high in pairs)
        assert _reads(some, chr(point).encode()) == inside
        assert _reads(complement(some), chr(point).encode()) != inside


def test_bytes_that_are_no_utf_8_are_refused() -> None:
    for data in (b"\xc0\x80", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xff", b""):
        assert not _reads(EVERY, data)


def test_every_byte_leads_to_one_state() -> None:
    for some in (EVERY, unicode_set("w"), complement(unicode_set("s"))):
        taken: dict[int, int] = {}
        for state, bits, _ in byte_edges(some):
            assert not taken.get(state, 0) & bits
            taken[state] = taken.get(state, 0) | bits


def test_sets_are_an_algebra() -> None:
    some, other = ranges([(3, 9), (40, 50), (10, 12)]), ranges([(5, 45)])
    assert some == ((3, 12), (40, 50))
    assert complement(complement(some)) == some
    assert minus(some, other) == ((3, 4), (46, 50))
    assert minus(some, some) == ()
    assert intersection(some, other) == ((5, 12), (40, 45))
