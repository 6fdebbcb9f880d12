"""What an engine has done so far, as numbers for a monitor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Counters:
    """Counted by the engine: requests by how they ended, passes and their rows."""

    accepted: int = 0
    refused: int = 0
    finished: int = 0
    cancelled: int = 0
    failed: int = 0
    passes: int = 0
    rows: int = 0
    tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class Stats:
    """A moment's view. `rows` over `passes` is the mean batch; `seconds_per_row` is by number of
    rows, of a denoising pass over a whole canvas; of prompts, `cache_hits` tokens were found
    encoded and `cache_misses` were not."""

    accepted: int
    refused: int
    finished: int
    cancelled: int
    failed: int
    waiting: int
    active: int
    passes: int
    rows: int
    tokens: int
    pages_in_use: int
    cache_hits: int = 0
    cache_misses: int = 0
    cache_pages: int = 0
    evictions: int = 0
    seconds_per_row: Mapping[int, float] = field(default_factory=dict)
