"""What passes have cost here, and so how many rows are worth running together."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

LARGEST = 256  # rows
WEIGHT = 0.2  # of the newest measurement in a running mean
AGAIN = 64  # passes of a shape after which a size beside the best one is tried again


@dataclass
class Shape:
    """Passes of one shape: seconds a row by number of rows, in powers of two."""

    seconds: dict[int, float] = field(default_factory=dict)
    passes: int = 0


class Costs:
    """Learns from every pass. A pass of more rows may take up to `longest` seconds, so that nobody
    waits longer for a turn."""

    def __init__(self, *, longest: float = 0.5) -> None:
        self.longest = longest
        self.shapes: dict[Hashable, Shape] = {}

    def note(self, shape: Hashable, rows: int, seconds: float) -> None:
        """A pass of `rows` has taken so long."""
        found = self.shapes.setdefault(shape, Shape())
        found.passes += 1
        size, each = floor(rows), seconds / rows
        before = found.seconds.get(size, each)
        found.seconds[size] = before + WEIGHT * (each - before)

    def rows(self, shape: Hashable, available: int) -> int:
        """How many of the `available` rows to run in the next pass.

        The number with the lowest cost a row, or one beside it that has not been tried for long.
        """
        found = self.shapes.get(shape)
        if found is None:
            return 1
        fitting = {
            size: each
            for size, each in found.seconds.items()
            if size <= available and (size == 1 or size * each <= self.longest)
        }
        if not fitting:
            return 1
        best = min(fitting, key=fitting.__getitem__)
        larger = 2 * best
        if larger <= min(available, LARGEST) and self.worth_trying(found, larger, best):
            return larger
        if best > 1 and found.passes % AGAIN == AGAIN // 2:
            return best // 2
        # what is left over by a power of two goes along
        return available if available < 2 * best else best

    def worth_trying(self, shape: Shape, size: int, best: int) -> bool:
        """Whether a larger pass is to be measured: for the first time, or again after a while."""
        known = shape.seconds.get(size)
        if known is None:
            return size * shape.seconds[best] <= self.longest
        return shape.passes % AGAIN == 0 and size * known <= self.longest


def floor(rows: int) -> int:
    """The largest power of two that is not more."""
    return 1 << (rows.bit_length() - 1)
