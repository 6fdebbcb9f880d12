"""Requests that wait for pages: set aside, or sent back to their start so that others can end."""

from __future__ import annotations

from collections.abc import Sequence

from canvaslm.cache.pages import Pool
from canvaslm.engine.serving.fiber import Fiber


class Parking:
    """`fibers` stand still with what they hold until somebody's pages become free. Where all stand
    still the youngest gives way: it is `away`, holds nothing, and begins again after another's end.

    So the oldest always comes to its end, and nobody who was accepted is turned down.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.fibers: list[Fiber] = []
        self.away: list[Fiber] = []
        self._places = 0  # how many of those that are away may begin again

    def room(self, pages: int) -> bool:
        """Whether so many can still be taken."""
        return self.pool.has_room(pages)

    def sort(self, active: Sequence[Fiber]) -> list[Fiber]:
        """Set aside of `active` who needs more pages than are left; those that can go on."""
        if len(active) + len(self.fibers) < 2:
            return list(active)
        going = [fiber for fiber in active if fiber.ask is None or self.room(fiber.ask.pages)]
        self.fibers += [fiber for fiber in active if fiber not in going]
        return going

    def release(self) -> list[Fiber]:
        """All that stand still, to try again."""
        released, self.fibers = self.fibers, []
        return released

    def somebody_ended(self) -> None:
        """Pages may have become free for one that is away."""
        self._places = min(self._places + 1, len(self.away))

    def give_way(self) -> None:
        """All that are at work stand still: the youngest goes back to its start, if it has company.
        A single one is to find out that there are too few pages for it."""
        if len(self.fibers) > 1:
            youngest = max(self.fibers, key=lambda fiber: fiber.number)
            self.fibers.remove(youngest)
            youngest.rewind()
            self.away.append(youngest)

    def come_back(self) -> Fiber | None:
        """The oldest that is away, if it may begin again."""
        if not self._places:
            return None
        self._places -= 1
        oldest = min(self.away, key=lambda fiber: fiber.number)
        self.away.remove(oldest)
        return oldest

    def remove(self, fiber: Fiber) -> None:
        """It is at its end, wherever it waits; nothing if it does not wait here."""
        for waiting in (self.fibers, self.away):
            if fiber in waiting:
                waiting.remove(fiber)
        self._places = min(self._places, len(self.away))
