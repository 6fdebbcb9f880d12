"""One engine for many requests: a thread that gives passes of the network to those in line.

    while requests are there:
        let new ones begin, end those that were cancelled or are late
        choose whose turn it is; join the asks of one shape that go with it
        run the pass; each request goes on with its rows until it asks again

A request is ordinary code that uses an `LM`. Its own share of a pass does not depend on the
company where the network's rows stand alone; where they do not, passes are not joined.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from types import TracebackType

import torch

from canvaslm.cache.known import Known
from canvaslm.cache.pages import Pool
from canvaslm.engine.lm import LM
from canvaslm.engine.memory import available_memory
from canvaslm.engine.serving.costs import Costs
from canvaslm.engine.serving.fiber import Fiber, Work, wait
from canvaslm.engine.serving.limits import Limits
from canvaslm.engine.serving.line import Line, run
from canvaslm.engine.serving.stats import Counters, Stats
from canvaslm.engine.serving.ticket import Ended, Tell, Ticket
from canvaslm.engine.serving.turns import Turns
from canvaslm.engine.serving.waiting import Waiting
from canvaslm.errors import (
    CanvasError,
    DeadlineError,
    OutOfMemoryError,
    OverloadedError,
    RequestCancelledError,
    StoppedError,
)

SHARE = 0.5  # of the memory that is free, for pages


def pages_for(pool: Pool) -> int:
    """How many pages the machine's memory has room for, beside all else."""
    return max(int(available_memory() * SHARE / pool.page_bytes), 1)


class Engine:
    """Serves an `LM` to many. Start it, or use it in a `with` statement; it is then the only one to
    use that `LM`'s network and pages."""

    def __init__(
        self, lm: LM, *, limits: Limits | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.lm, self.limits, self.clock = lm, limits or Limits(), clock
        self.counters, self.costs, self.turns = Counters(), Costs(), Turns()
        self.error: BaseException | None = None
        lm.pool.limit = self.limits.pages or pages_for(lm.pool)
        lm.pool.known = Known(lm.pool)
        self._view = lm.through(Line(lm.network, wait))
        self._waiting = Waiting(self.limits)
        self._active: list[Fiber] = []
        self._parked: list[Fiber] = []
        self._stopping: float | None = None  # when what still runs is cancelled
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to serve. Raises StoppedError for an engine that has been stopped."""
        if self._thread is not None or self._stopping is not None:
            raise StoppedError("this engine was started before: make a new one")
        self._thread = threading.Thread(target=self._serve, name="canvaslm-engine", daemon=True)
        self._thread.start()

    def stop(self, *, drain: float = 0.0) -> None:
        """Take no more, give what is there `drain` seconds, cancel the rest, end the thread."""
        with self._changed:
            self._stopping = self.clock() + drain
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Engine:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def alive(self) -> bool:
        """Whether it takes requests."""
        running = self._thread is not None and self._thread.is_alive()
        return running and self._stopping is None and self.error is None

    def submit(
        self,
        work: Work,
        *,
        client: str = "",
        deadline: float | None = None,
        tell: Tell | None = None,
    ) -> Ticket:
        """Put a request in the queue, from any thread.

        `work` is called on the engine's thread; its values go to `tell`, there, or to whoever
        iterates over the ticket. `deadline` in seconds from now, the limits' if None. Raises
        OverloadedError where too many wait, StoppedError where nothing is served.
        """
        now, seconds = self.clock(), deadline or self.limits.deadline
        ticket = Ticket(queued=now, wake=self._wake, tell=tell)
        with self._changed:
            if not self.alive:
                raise StoppedError("the engine is stopping or has stopped: it takes no requests")
            try:
                self._waiting.check(client)
            except OverloadedError:
                self.counters.refused += 1
                raise
            self.counters.accepted += 1
            until = None if seconds is None else now + seconds
            self._waiting.add(Fiber(work=work, ticket=ticket, client=client, deadline=until))
            self._changed.notify_all()
        return ticket

    @property
    def stats(self) -> Stats:
        """A moment's view, from any thread."""
        with self._changed:
            counted, known = asdict(self.counters), self.lm.pool.known
            return Stats(
                **counted,
                waiting=len(self._waiting.fibers),
                active=self._waiting.active.total(),
                pages_in_use=self.lm.pool.in_use,
                **({} if known is None else known.stats.counted),
                seconds_per_row=self._seconds_per_row(),
            )

    def _seconds_per_row(self) -> dict[int, float]:
        found = self.costs.shapes.get(("denoise", self.lm.config.canvas_length, False))
        return {} if found is None else dict(found.seconds)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _serve(self) -> None:
        try:
            with torch.inference_mode():
                while self._turn():
                    pass
        except BaseException as error:  # a bug: nobody may be left waiting
            self.error = error
        finally:
            self._end_all(self.error or StoppedError("the engine has stopped"))
            self._give_back()

    def _give_back(self) -> None:
        """Leave the model as it was found."""
        pool = self.lm.pool
        if pool.known is not None:
            pool.known.clear()
        pool.known = pool.limit = None

    def _turn(self) -> bool:
        """One round of the loop; False: the engine has come to its end."""
        with self._changed:
            self._end_waiting()
            begun = None if self._parked else self._waiting.take()
            idle = begun is None and not self._active and not self._parked
            if idle:
                if self._stopping is not None and not self._waiting.fibers:
                    return False
                self._changed.wait()
                return True
        if begun is not None:
            self._begin(begun)
            return True
        self._end_hopeless()
        self._park()
        if not self._active and self._parked:
            self._unpark()
        if self._active:
            self._pass()
        return True

    def _begin(self, fiber: Fiber) -> None:
        fiber.ticket.times.started = self.clock()
        fiber.waited = self.counters.passes
        self.turns.enter(fiber.client)
        self._active.append(fiber)
        fiber.start(self._view, self.clock)
        self._settle(fiber)

    def _pass(self) -> None:
        """One pass of the network, for those whose turn it is."""
        order = self.turns.order(self._active)
        group = self._group(order)
        asks = [fiber.ask for fiber in group if fiber.ask is not None]
        started, rows = self.clock(), sum(ask.rows for ask in asks)
        try:
            hidden = list(run(self.lm.network, asks))
        except Exception as error:
            self._failed(group, error)
            return
        self.costs.note(asks[0].shape, rows, self.clock() - started)
        self.counters.passes += 1
        self.counters.rows += rows
        self.counters.tokens += sum(ask.tokens for ask in asks)
        self.turns.note(group, turn=self.counters.passes)
        for fiber, hidden_BND in zip(group, hidden, strict=True):
            fiber.answer(hidden_BND)
            self._settle(fiber)

    def _group(self, order: list[Fiber]) -> list[Fiber]:
        """The first in order, and those after it that can go along and are worth it."""
        first = order[0].ask
        assert first is not None
        if not self.lm.network.rows_stand_alone:
            return order[:1]
        fitting = [fiber for fiber in order if fiber.ask and fiber.ask.shape == first.shape]
        available = sum(fiber.ask.rows for fiber in fitting if fiber.ask)
        rows, pages = self.costs.rows(first.shape, available), 0
        group: list[Fiber] = []
        for fiber in fitting:
            assert fiber.ask is not None
            fits = fiber.ask.rows <= rows and self._room(pages + fiber.ask.pages)
            if fits or not group:
                rows -= fiber.ask.rows
                pages += fiber.ask.pages
                group.append(fiber)
        return group

    def _failed(self, group: list[Fiber], error: Exception) -> None:
        """A pass could not be run: by itself each finds out whether it was the cause."""
        if len(group) > 1:
            for fiber in group:
                self._alone(fiber)
        else:
            self._fail_or_park(group[0], error)

    def _alone(self, fiber: Fiber) -> None:
        assert fiber.ask is not None
        try:
            (hidden_BND,) = run(self.lm.network, [fiber.ask])
        except Exception as error:
            self._fail_or_park(fiber, error)
            return
        fiber.answer(hidden_BND)
        self._settle(fiber)

    def _fail_or_park(self, fiber: Fiber, error: Exception) -> None:
        """Out of pages while others hold some: it waits until one of them has ended."""
        if isinstance(error, OutOfMemoryError) and len(self._active) + len(self._parked) > 1:
            self._active.remove(fiber)
            self._parked.append(fiber)
        else:
            self._throw(fiber, error)

    def _park(self) -> None:
        """Set aside who needs more pages than are left, until others have given theirs back."""
        if len(self._active) + len(self._parked) < 2:
            return
        tight = [fiber for fiber in self._active if fiber.ask and not self._room(fiber.ask.pages)]
        self._parked += tight
        self._active = [fiber for fiber in self._active if fiber not in tight]

    def _room(self, pages: int) -> bool:
        """Whether so many can still be taken."""
        pool = self.lm.pool
        if pool.limit is None or pages <= pool.limit - pool.in_use:
            return True
        room = pool.room
        return room is None or pages <= room

    def _unpark(self) -> None:
        """Let those go on that waited for pages; all of them wait for each other: the youngest
        gives way."""
        if len(self._parked) > 1:
            youngest = max(self._parked, key=lambda fiber: fiber.number)
            self._parked.remove(youngest)
            self._active.append(youngest)
            reason = "the requests at work need more pages than there are: try again later"
            self._throw(youngest, OverloadedError(reason, retry_after=1.0))
        self._active += self._parked
        self._parked.clear()

    def _settle(self, fiber: Fiber) -> None:
        """Take a fiber that has come to its end out of the line."""
        if not fiber.done:
            return
        now = self.clock()
        self._active.remove(fiber)
        started = fiber.ticket.times.started or now
        with self._changed:
            self._waiting.end(fiber, seconds=now - started)
            if not self._waiting.active[fiber.client]:
                self.turns.leave(fiber.client)
        self._tell_end(fiber, fiber.error)
        self._active += self._parked  # pages may have become free
        self._parked.clear()

    def _tell_end(self, fiber: Fiber, error: BaseException | None) -> None:
        if error is None:
            self.counters.finished += 1
        elif isinstance(error, RequestCancelledError | DeadlineError | StoppedError):
            self.counters.cancelled += 1
        else:
            self.counters.failed += 1
        try:
            fiber.ticket.tell(Ended(error), now=self.clock())
        except Exception as failure:  # whoever listens has a bug, which must not end the others
            warnings.warn(f"a request's end could not be told: {failure!r}", stacklevel=2)

    def _throw(self, fiber: Fiber, error: BaseException) -> None:
        fiber.fail(error)
        self._settle(fiber)

    def _hopeless(self, fiber: Fiber) -> CanvasError | None:
        """Why a request must not go on; None: it may."""
        now = self.clock()
        if fiber.ticket.reason is not None:
            return RequestCancelledError(fiber.ticket.reason)
        if fiber.deadline is not None and now >= fiber.deadline:
            asked = fiber.deadline - fiber.ticket.times.queued
            return DeadlineError(
                f"the request was not done within its {asked:.0f} s: ask for fewer tokens, or give "
                "it more time"
            )
        if self._stopping is not None and now >= self._stopping:
            return StoppedError("the engine stops and could not finish this request in time")
        return None

    def _end_waiting(self) -> None:
        for fiber in list(self._waiting.fibers):
            error = self._hopeless(fiber)
            if error is not None:
                self._waiting.drop(fiber)
                self._tell_end(fiber, error)

    def _end_hopeless(self) -> None:
        for fiber in [*self._active, *self._parked]:
            error = self._hopeless(fiber)
            if error is not None:
                if fiber in self._parked:
                    self._parked.remove(fiber)
                    self._active.append(fiber)
                self._throw(fiber, error)

    def _end_all(self, error: BaseException) -> None:
        """The engine's own end: nobody waits any longer."""
        for fiber in [*self._active, *self._parked]:
            fiber.fail(error)
            self._tell_end(fiber, error)
        with self._changed:
            for fiber in self._waiting.fibers:
                self._tell_end(fiber, error)
            self._waiting.fibers.clear()
        self._active.clear()
        self._parked.clear()
