"""Counter-based random numbers: a pure function of (seed, canvas, step, position, stream)."""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

ROUNDS = 10
BLOCK = 8  # steps whose numbers are made together
MULTIPLIERS = np.array([[0xD2511F53], [0xCD9E8D57]], dtype=np.uint64)
WEYL = np.array([[0x9E3779B9], [0xBB67AE85]], dtype=np.uint64)
LOW = np.uint64(0xFFFFFFFF)
WORD = np.uint64(32)


class Stream(IntEnum):
    """What a number is for, so that no two uses ever share one."""

    NOISE = 0
    CANDIDATE = 1
    TOKEN = 2  # left to right
    PATH = 3  # the joint draw under a constraint
    DRAFT = 4  # which tokens of a given draft are noised
    SCORE = 5  # noise that a finished canvas is judged under
    CORRECT = 6  # which accepted tokens are noised again


def philox(counter_4N: NDArray[np.uint64], key_2N: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Philox-4x32-10 of each column: four 32-bit words [4, N], held in uint64.

    Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC11). Integers only, so every
    machine and device agrees to the bit.
    """
    even, odd, key = counter_4N[0::2], counter_4N[1::2], key_2N
    for _ in range(ROUNDS):
        product = even * MULTIPLIERS
        even = (product[::-1] >> WORD) ^ odd ^ key
        odd = (product & LOW)[::-1]
        key = (key + WEYL) & LOW
    return np.stack((even, odd), axis=1).reshape(4, -1)


def uniforms(
    seed: int, *, canvas: int, step: int, stream: Stream, count: int
) -> NDArray[np.float64]:
    """One number in [0, 1) with 53 random bits for each of `count` positions.

    `seed` is any integer; its low 64 bits are the key.
    """
    block, row = divmod(step, BLOCK)
    pair, half = divmod(stream, 2)
    numbers: NDArray[np.float64] = _block(seed, canvas, block, pair, count)[half, row]
    return numbers


@lru_cache(maxsize=64)
def _block(seed: int, canvas: int, block: int, pair: int, count: int) -> NDArray[np.float64]:
    """The numbers of BLOCK steps and two streams [2, BLOCK, count].

    At once, since what costs is the calls: four words make two numbers, one for each stream.
    """
    counter = np.empty((4, BLOCK, count), dtype=np.uint64)
    counter[0] = np.arange(count)
    counter[1] = np.arange(block * BLOCK, (block + 1) * BLOCK)[:, None]
    counter[2], counter[3] = canvas, pair
    key = np.array([[seed & 0xFFFFFFFF], [seed >> 32 & 0xFFFFFFFF]], dtype=np.uint64)
    words = philox(counter.reshape(4, -1), key).reshape(2, 2, BLOCK, count)
    high, low = words[:, 0] >> np.uint64(5), words[:, 1] >> np.uint64(6)  # 27 and 26 bits
    numbers: NDArray[np.float64] = (high * np.float64(2**26) + low) * np.float64(2.0**-53)
    numbers.setflags(write=False)
    return numbers
