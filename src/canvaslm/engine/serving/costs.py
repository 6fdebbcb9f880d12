"""What passes have cost here, and so how many rows are worth running together."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field

LARGEST = 256  # rows
KEPT = 5  # measurements of a size; the least counts, as whatever else runs makes one slower only
TRIES = 3  # before a size is believed to be no better
AGAIN = 32  # passes of a shape after which the next size is tried once more
GAIN = 0.85  # a doubling must lower the cost of a row to this: those in front wait for it
LONG = 4.0  # times as long as one row alone a pass may always take
FREE = 1.5  # a pass that takes so many times as long as one row alone delays nobody much


@dataclass
class Shape:
    """Passes of one shape: seconds a row as measured, by number of rows in powers of two."""

    measured: dict[int, deque[float]] = field(default_factory=dict)
    passes: int = 0

    @property
    def seconds(self) -> dict[int, float]:
        """By number of rows, what a row takes when nothing disturbs it."""
        return {size: min(last) for size, last in self.measured.items()}

    def tried(self, size: int) -> bool:
        """Whether it is known by now what passes of this size cost."""
        return len(self.measured.get(size, ())) >= TRIES and self.passes % AGAIN != 0


class Costs:
    """Learns from every pass. A pass of more rows may take up to `longest` seconds, or LONG times
    as long as a single row, so that nobody waits longer for a turn."""

    def __init__(self, *, longest: float = 0.5) -> None:
        self.longest = longest
        self.shapes: dict[Hashable, Shape] = {}

    def note(self, shape: Hashable, rows: int, seconds: float) -> None:
        """A pass of `rows` has taken so long."""
        found = self.shapes.setdefault(shape, Shape())
        found.passes += 1
        found.measured.setdefault(floor(rows), deque(maxlen=KEPT)).append(seconds / rows)

    def rows(self, shape: Hashable, available: int) -> int:
        """How many of the `available` rows to run in the next pass.

        From one row on the number is doubled as long as that makes a row cheaper by enough; a size
        that is not known yet is tried.
        """
        found = self.shapes.get(shape)
        if found is None or 1 not in found.measured:
            return 1
        size, each = 1, found.seconds
        longest = max(self.longest, LONG * each[1])
        while (larger := 2 * size) <= min(available, LARGEST):
            if not found.tried(larger) and larger * each[size] <= longest:
                return larger
            cost = each.get(larger)
            if cost is None or cost > GAIN * each[size] or larger * cost > longest:
                break
            size = larger
        # what is left over by a power of two goes along
        return available if available < 2 * size else size

    def free(self, shape: Hashable) -> int:
        """How many rows go in a pass that takes hardly longer than one of a single row."""
        found = self.shapes.get(shape)
        if found is None or 1 not in found.measured:
            return 1
        each = found.seconds
        return max(size for size, cost in each.items() if size * cost <= FREE * each[1])


def floor(rows: int) -> int:
    """The largest power of two that is not more."""
    return 1 << (rows.bit_length() - 1)
