"""Requests that wait for a place among those at work: fair between clients, refused when full."""

from __future__ import annotations

from collections import Counter

from canvaslm.engine.serving.fiber import Fiber
from canvaslm.engine.serving.limits import Limits
from canvaslm.errors import OverloadedError

LONGEST_RETRY = 60.0  # seconds


class Waiting:
    """The queue, and who has how much of it. Not safe to share: the engine locks it."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.fibers: list[Fiber] = []
        self.own: Counter[str] = Counter()  # requests of each client, waiting or at work
        self.active: Counter[str] = Counter()
        self.seconds = 1.0  # a running mean of how long a place is taken

    def check(self, client: str) -> None:
        """Raise OverloadedError if one more request of this client is too many."""
        limits, mine = self.limits, self.own[client]
        if mine >= limits.per_client:
            raise OverloadedError(
                f"this client has {mine} requests here already, as many as one may have: wait for "
                "some to end",
                retry_after=self.retry_after(mine),
            )
        places = limits.active - self.active.total()
        if len(self.fibers) >= limits.queue + places:
            raise OverloadedError(
                f"{len(self.fibers)} requests are waiting, as many as may: try again later",
                retry_after=self.retry_after(len(self.fibers)),
            )

    def retry_after(self, before: int) -> float:
        """Seconds until about half of so many requests have ended."""
        turns = (before / 2 + 1) / self.limits.active
        return min(max(turns * self.seconds, 1.0), LONGEST_RETRY)

    def add(self, fiber: Fiber) -> None:
        self.own[fiber.client] += 1
        self.fibers.append(fiber)

    def take(self) -> Fiber | None:
        """The next to begin, if there is a place: of the client with fewest at work, the oldest."""
        if not self.fibers or self.active.total() >= self.limits.active:
            return None
        fiber = min(self.fibers, key=lambda one: (self.active[one.client], one.number))
        self.fibers.remove(fiber)
        self.active[fiber.client] += 1
        return fiber

    def drop(self, fiber: Fiber) -> None:
        """One that waits has ended without beginning."""
        self.fibers.remove(fiber)
        self.forget(fiber)

    def end(self, fiber: Fiber, *, seconds: float) -> None:
        """One at work has ended, after so long."""
        self.seconds += 0.1 * (seconds - self.seconds)
        self.active[fiber.client] -= 1
        if not self.active[fiber.client]:
            del self.active[fiber.client]
        self.forget(fiber)

    def forget(self, fiber: Fiber) -> None:
        self.own[fiber.client] -= 1
        if not self.own[fiber.client]:
            del self.own[fiber.client]
