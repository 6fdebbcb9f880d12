"""Random numbers are a pure function of their key, and the published generator's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvaslm.diffusion.rng import BLOCK, Stream, philox, uniforms

# Known answers of Philox-4x32-10, as its authors publish them: counter, key, words.
ZERO, ONES = "00000000", "ffffffff"
KNOWN = [
    (" ".join([ZERO] * 4), " ".join([ZERO] * 2), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    (" ".join([ONES] * 4), " ".join([ONES] * 2), "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        "243f6a88 85a308d3 13198a2e 03707344",
        "a4093822 299f31d0",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


def words(text: str) -> np.ndarray:
    return np.array([[int(word, 16)] for word in text.split()], dtype=np.uint64)


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_philox_gives_the_published_answers(counter: str, key: str, answer: str) -> None:
    assert np.array_equal(philox(words(counter), words(key)), words(answer))


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**20), st.integers(0, 200), st.integers(1, 40))
def test_a_number_depends_on_its_key_alone(seed: int, canvas: int, step: int, count: int) -> None:
    """Not on how many are drawn, nor on what was drawn before."""
    many = uniforms(seed, canvas=canvas, step=step, stream=Stream.NOISE, count=count + 9)
    few = uniforms(seed, canvas=canvas, step=step, stream=Stream.NOISE, count=count)
    assert np.array_equal(many[:count], few)
    assert ((few >= 0) & (few < 1)).all()


def test_every_part_of_the_key_counts() -> None:
    base = {"canvas": 1, "step": 2, "stream": Stream.NOISE}
    drawn = [uniforms(5, **base, count=16), uniforms(5 + 2**32, **base, count=16)]
    for change in ({"canvas": 2}, {"step": 3}, {"step": 2 + BLOCK}, {"stream": Stream.CANDIDATE}):
        drawn.append(uniforms(5, **(base | change), count=16))
    flat = np.concatenate(drawn)
    assert len(np.unique(flat)) == len(flat)


def test_numbers_are_spread_evenly() -> None:
    drawn = np.concatenate(
        [uniforms(0, canvas=c, step=0, stream=Stream.NOISE, count=4096) for c in range(16)]
    )
    counts = np.histogram(drawn, bins=64, range=(0, 1))[0]
    assert abs(counts - 1024).max() < 5 * 32  # five standard deviations


def test_numbers_cannot_be_changed_by_who_reads_them() -> None:
    with pytest.raises(ValueError, match="read-only"):
        uniforms(0, canvas=0, step=0, stream=Stream.NOISE, count=4)[0] = 0.5
