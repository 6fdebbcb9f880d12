"""A request as whoever submitted it sees it: values as they come, the end, a way to cancel."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """A value that the work has given."""

    value: object


@dataclass(frozen=True)
class Ended:
    """The last thing told; `error` is None where the work came to its end."""

    error: BaseException | None = None


Told = Item | Ended
Tell = Callable[[Told], None]


@dataclass(kw_only=True)
class Times:
    """When it was queued, got its first turn, gave its first value and ended, by the engine's
    clock; None: not yet."""

    queued: float
    started: float | None = None
    first: float | None = None
    ended: float | None = None


class Ticket:
    """Made by `Engine.submit`. Iterating waits for the values, each of which comes once, and raises
    the request's error."""

    def __init__(self, *, queued: float, wake: Callable[[], None], tell: Tell | None) -> None:
        self.times = Times(queued=queued)
        self.reason: str | None = None
        self._wake = wake
        self._told: queue.SimpleQueue[Told] = queue.SimpleQueue()
        self._kept = tell is None
        self._tell: Tell = tell or self._told.put
        self._lock = threading.Lock()

    def cancel(self, reason: str = "cancelled by whoever asked") -> None:
        """Give it up, from any thread; its end follows within one pass. Twice does nothing."""
        with self._lock:
            if self.reason is not None or self.times.ended is not None:
                return
            self.reason = reason
        self._wake()

    def tell(self, told: Told, *, now: float) -> None:
        """Hand on what the work gives; the engine's to call."""
        with self._lock:
            if isinstance(told, Ended):
                self.times.ended = now
            elif self.times.first is None:
                self.times.first = now
        self._tell(told)

    def __iter__(self) -> Iterator[object]:
        if not self._kept:
            raise TypeError("this ticket keeps no values: they went to the `tell` it was made with")
        while isinstance(told := self._told.get(), Item):
            yield told.value
        self._told.put(told)  # for whoever iterates again
        if told.error is not None:
            raise told.error
