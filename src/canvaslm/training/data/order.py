"""The order of examples: every epoch another one, decided by the seed alone."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

import torch


class Order:
    """Which of `total` examples the n-th draw is: all once, then all again in another order.

    The first `held_out` of an order of their own are never drawn.
    """

    def __init__(self, total: int, *, seed: int, held_out: int = 0) -> None:
        self.seed = seed
        aside = shuffled(total, f"{seed}/held-out") if held_out else torch.arange(total)
        self.held_out: list[int] = aside[:held_out].tolist()
        self._learnt = aside[held_out:].sort().values
        self._epoch = lru_cache(maxsize=2)(self.epoch)

    def __len__(self) -> int:
        return len(self._learnt)

    def epoch(self, number: int) -> torch.Tensor:
        return self._learnt[shuffled(len(self._learnt), f"{self.seed}/epoch {number}")]

    def draw(self, number: int) -> tuple[int, int]:
        """(epoch, example) of a draw."""
        epoch, place = divmod(number, len(self._learnt))
        return epoch, int(self._epoch(epoch)[place])


def shuffled(count: int, key: str) -> torch.Tensor:
    """A permutation of `count` numbers, int64, as `key` decides."""
    digest = blake2b(key.encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
    return torch.randperm(count, generator=generator)
