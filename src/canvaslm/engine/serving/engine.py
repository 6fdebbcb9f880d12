"""One engine for many requests: a thread that gives passes of the network to those in line.

    while requests are there:
        let new ones begin, end those that were cancelled or are late
        set aside who needs more pages than are left
        choose whose turn it is; join the asks of one shape that go with it
        run the pass; each request goes on with its rows until it asks again

A request is ordinary code that uses an `LM`. Its own share of a pass does not depend on the
company where the network's rows stand alone; where they do not, passes are not joined.
"""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from types import TracebackType

import torch

from canvaslm.adapter.adapter import Adapter
from canvaslm.cache.known import Known
from canvaslm.cache.pages import Pool
from canvaslm.engine.checks import check_number
from canvaslm.engine.lm import LM
from canvaslm.engine.memory import available_memory
from canvaslm.engine.serving.costs import Costs
from canvaslm.engine.serving.fiber import Fiber, Work, untied, wait
from canvaslm.engine.serving.limits import Limits
from canvaslm.engine.serving.line import Line, run
from canvaslm.engine.serving.parking import Parking
from canvaslm.engine.serving.stats import Counters, Stats
from canvaslm.engine.serving.ticket import Ended, Tell, Ticket
from canvaslm.engine.serving.turns import Turns
from canvaslm.engine.serving.waiting import Waiting
from canvaslm.errors import (
    CanvasError,
    DeadlineError,
    OutOfMemoryError,
    OverloadedError,
    ParameterError,
    RequestCancelledError,
    StoppedError,
)

log = logging.getLogger(__name__)

GIVEN_UP = (RequestCancelledError, DeadlineError, StoppedError)
SHARE = 0.5  # of the memory that is free, for pages


def pages_for(pool: Pool) -> int:
    """How many pages the machine's memory has room for, beside all else."""
    return max(int(available_memory() * SHARE / pool.page_bytes), 1)


class Engine:
    """Serves an `LM` to many. Start it, or use it in a `with` statement; it is then the only one to
    use that `LM`'s network and pages."""

    def __init__(
        self,
        lm: LM,
        *,
        adapters: Mapping[str, Adapter] | None = None,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lm, self.limits, self.clock = lm, limits or Limits(), clock
        self.counters, self.costs, self.turns = Counters(), Costs(), Turns()
        self.error: BaseException | None = None
        models = {"": lm} | {name: lm.adapted(a) for name, a in (adapters or {}).items()}
        self._views = {name: m.through(Line(m.network, wait)) for name, m in models.items()}
        self._waiting = Waiting(self.limits)
        self._active: list[Fiber] = []
        self._parking = Parking(lm.pool)
        self._stopping: float | None = None  # when what still runs is cancelled
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to serve. Raises StoppedError for an engine that has been stopped."""
        if self._thread is not None or self._stopping is not None:
            raise StoppedError("this engine was started before: make a new one")
        pool = self.lm.pool
        pool.limit, pool.known = self.limits.pages or pages_for(pool), Known(pool)
        self._thread = threading.Thread(target=self._serve, name="canvaslm-engine", daemon=True)
        self._thread.start()

    def stop(self, *, drain: float = 0.0) -> None:
        """Take no more, give what is there `drain` seconds, cancel the rest, end the thread. Called
        again it may shorten the time."""
        with self._changed:
            until = self.clock() + drain
            self._stopping = until if self._stopping is None else min(until, self._stopping)
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
        adapter: str = "",
        client: str = "",
        deadline: float | None = None,
        tell: Tell | None = None,
    ) -> Ticket:
        """Put a request in the queue, from any thread.

        `work` is called on the engine's thread; its values go to `tell`, there, or to whoever
        iterates over the ticket. Where all that run wait for pages it may be called again, and what
        it gave before is not told again: so fix its seed. `deadline` in seconds from now, the
        limits' if None. Raises OverloadedError where too many wait, StoppedError where nothing is
        served, ParameterError for a deadline that is not above 0.
        """
        if deadline is not None:
            check_number("deadline", deadline, above_zero=True)
        if adapter not in self._views:
            known = ", ".join(name for name in self._views if name) or "none"
            raise ParameterError(f"no adapter {adapter!r}: there are {known}")
        now, seconds = self.clock(), self.limits.deadline if deadline is None else deadline
        ticket = Ticket(queued=now, wake=self._wake, tell=tell)
        with self._changed:
            if not self.alive:
                raise StoppedError("the engine has not started, or it stops: it takes no requests")
            try:
                self._waiting.check(client)
            except OverloadedError:
                self.counters.refused += 1
                raise
            self.counters.accepted += 1
            until = None if seconds is None else now + seconds
            self._waiting.add(
                Fiber(work=work, ticket=ticket, client=client, deadline=until, adapter=adapter)
            )
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
            log.critical("the engine has died of a bug", exc_info=error)
            self.error = untied(error)
        finally:
            self._end_all()
            self._give_back()

    def _give_back(self) -> None:
        """Leave the model as it was found."""
        pool = self.lm.pool
        if pool.known is not None:
            pool.known.clear()
        pool.known = pool.limit = None

    def _turn(self) -> bool:
        """One round of the loop; False: the engine has come to its end."""
        self._end_waiting()
        with self._changed:
            begun = self._next()
            if begun is None and not self._active and not self._parking.fibers:
                if self._stopping is not None:
                    return False
                self._changed.wait()
                return True
        if begun is not None:
            self._begin(begun)
            return True
        self._end_hopeless()
        self._active = self._parking.sort(self._active)
        if not self._active:
            self._parking.give_way()
            self._active = self._parking.release()
        if self._active:
            self._pass(self._group(self.turns.order(self._active)))
        return True

    def _next(self) -> Fiber | None:
        """Who begins now: nobody new while there are too few pages for those at work."""
        if self._parking.fibers or self._parking.away:
            return self._parking.come_back()
        return self._waiting.take()

    def _begin(self, fiber: Fiber) -> None:
        if fiber.ticket.times.started is None:
            fiber.ticket.times.started = self.clock()
        fiber.waited = self.counters.passes
        self.turns.enter(fiber.client)
        self._active.append(fiber)
        fiber.start(self._views[fiber.adapter], self.clock)
        self._settle(fiber)

    def _pass(self, group: list[Fiber]) -> None:
        """One pass of the network for all of them. If it cannot be run, one for each, so that each
        finds out whether it was the cause."""
        asks = [fiber.ask for fiber in group if fiber.ask is not None]
        started, rows = self.clock(), sum(ask.rows for ask in asks)
        try:
            hidden = list(run(asks))
        except Exception as error:
            if len(group) == 1:
                self._fail_or_park(group[0], error)
                return
            hidden = []
        if not hidden:
            for fiber in group:
                self._pass([fiber])
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
        peers = self.turns.peers(order)
        fitting = [fiber for fiber in order if fiber.ask and fiber.ask.goes_with(first)]
        available = sum(fiber.ask.rows for fiber in fitting if fiber.ask and fiber in peers)
        most, free = self.costs.rows(first.shape, available), self.costs.free(first.shape)
        group: list[Fiber] = []
        rows = pages = 0
        for fiber in fitting:
            assert fiber.ask is not None
            fits = rows + fiber.ask.rows <= (most if fiber in peers else free)
            if not group or (fits and self._parking.room(pages + fiber.ask.pages)):
                rows += fiber.ask.rows
                pages += fiber.ask.pages
                group.append(fiber)
        return group

    def _fail_or_park(self, fiber: Fiber, error: Exception) -> None:
        """Out of pages while others hold some: it waits until one of them has ended."""
        company = len(self._active) + len(self._parking.fibers) > 1
        if isinstance(error, OutOfMemoryError) and company:
            self._active.remove(fiber)
            self._parking.fibers.append(fiber)
        else:
            self._throw(fiber, error)

    def _settle(self, fiber: Fiber) -> None:
        """Take a fiber that has come to its end out of the line."""
        if not fiber.done:
            return
        now = self.clock()
        self._parking.remove(fiber)
        if fiber in self._active:
            self._active.remove(fiber)
        started = fiber.ticket.times.started or now
        with self._changed:
            self._waiting.end(fiber, seconds=now - started)
            if not self._waiting.active[fiber.client]:
                self.turns.leave(fiber.client)
        self._tell_end(fiber, fiber.error)
        self._active += self._parking.release()  # pages may have become free
        self._parking.somebody_ended()

    def _tell_end(self, fiber: Fiber, error: BaseException | None) -> None:
        if error is None:
            self.counters.finished += 1
        elif self.error is None and isinstance(error, GIVEN_UP):
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
                f"the request was not done within its {asked:g} s: ask for fewer tokens, or give "
                "it more time"
            )
        if self._stopping is not None and now >= self._stopping:
            return StoppedError("the engine stops and could not finish this request in time")
        return None

    def _end_waiting(self) -> None:
        """Who waits and was cancelled, or is late. They are told without the lock: whoever listens
        may have one of its own."""
        with self._changed:
            found = [(fiber, self._hopeless(fiber)) for fiber in self._waiting.fibers]
            ended = [(fiber, error) for fiber, error in found if error is not None]
            for fiber, _ in ended:
                self._waiting.drop(fiber)
        for fiber, error in ended:
            self._tell_end(fiber, error)

    def _end_hopeless(self) -> None:
        for fiber in self._at_work():
            error = self._hopeless(fiber)
            if error is not None:
                self._throw(fiber, error)

    def _at_work(self) -> list[Fiber]:
        return [*self._active, *self._parking.fibers, *self._parking.away]

    def _end_all(self) -> None:
        """The engine's own end: nobody waits any longer."""
        why = "the engine has died of a bug: start it again"
        for fiber in self._at_work():
            self._throw(fiber, StoppedError(why))
        with self._changed:
            left = list(self._waiting.fibers)
            for fiber in left:
                self._waiting.drop(fiber)
        for fiber in left:
            self._tell_end(fiber, StoppedError(why))
