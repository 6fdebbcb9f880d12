"""The engine as async code sees it: values of a request as they come, and cancelling by leaving."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from fastapi import Depends, Request

from canvaslm.engine.events import Draft
from canvaslm.engine.lm import LM
from canvaslm.engine.serving.ticket import Ended, Item, Ticket, Told
from canvaslm.errors import RequestCancelledError, StoppedError
from canvaslm.server.errors import ApiError, unavailable
from canvaslm.server.monitor.tally import Tally
from canvaslm.server.prepare import HEAVY, LIGHT, Lane
from canvaslm.server.settings import Settings

if TYPE_CHECKING:
    from canvaslm.engine.serving.engine import Engine

Work = Callable[[LM], Iterable[object]]
Merge = Callable[[object, object], object | None]
Made = TypeVar("Made")
Status = Literal["ok", "loading", "stopping", "failed"]

BACKLOG = 32
"""Values that wait for a slow reader before drafts are merged."""


class Presence:
    """Whether the client is still there. Used on the event loop only."""

    def __init__(self) -> None:
        self.left = False
        self._leaving = asyncio.Event()
        self._callbacks: list[Callable[[], object]] = []

    def leave(self) -> None:
        """It has gone, or has its answer: what still runs for it is cancelled."""
        if self.left:
            return
        self.left = True
        self._leaving.set()
        for callback in self._callbacks:
            callback()
        self._callbacks.clear()

    def on_leave(self, callback: Callable[[], object]) -> None:
        """Call it then, or now if the client is no longer there."""
        if self.left:
            callback()
        else:
            self._callbacks.append(callback)

    async def wait(self) -> None:
        """Until it has gone."""
        await self._leaving.wait()


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks: the request's id, the client whose share it counts for, and the id of the model
    that is asked, which `Service.asking` finds."""

    id: str
    client: str = ""
    model: str = ""
    presence: Presence = field(default_factory=Presence, repr=False, compare=False)
    tally: Tally = field(default_factory=Tally, repr=False, compare=False)


def latest_draft(old: object, new: object) -> object | None:
    """A draft replaces the one before it; everything else is kept."""
    return new if isinstance(old, Draft) and isinstance(new, Draft) else None


class Running:
    """A submitted request; iterate over its values, once. Leaving it early cancels it.

    `merge` makes one value of two that a slow reader has not taken yet, or says None to keep both.
    """

    def __init__(self, *, merge: Merge = latest_draft, tally: Tally | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._told: deque[Told] = deque()
        self._arrived = asyncio.Event()
        self._merge, self._tally = merge, tally
        self.on_end: Callable[[], None] = lambda: None
        self.ticket: Ticket | None = None

    def tell(self, told: Told) -> None:
        """Called on the engine's thread."""
        try:
            self._loop.call_soon_threadsafe(self._take, told)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    def _take(self, told: Told) -> None:
        if isinstance(told, Ended):
            self.on_end()
        elif self._tally is not None:
            self._tally.see(told.value)
        if not self._merged(told):
            self._told.append(told)
        self._arrived.set()

    def _merged(self, told: Told) -> bool:
        if len(self._told) < BACKLOG or not isinstance(told, Item):
            return False
        last = self._told[-1]
        one = self._merge(last.value, told.value) if isinstance(last, Item) else None
        if one is None:
            return False
        self._told[-1] = Item(one)
        return True

    async def _some(self) -> None:
        while not self._told:
            self._arrived.clear()
            await self._arrived.wait()

    async def begin(self) -> None:
        """Wait for the first value, which stays; raises the error if there is one before it."""
        try:
            await self._some()
        except BaseException:
            self.cancel("the client went away")
            raise
        told = self._told[0]
        if isinstance(told, Ended) and told.error is not None:
            raise told.error

    async def values(self) -> AsyncIterator[object]:
        """The values; raises the request's error."""
        try:
            while True:
                await self._some()
                told = self._told.popleft()
                if isinstance(told, Ended):
                    break
                yield told.value
            if told.error is not None:
                raise told.error
        finally:
            self.cancel("the client went away")

    def cancel(self, reason: str) -> None:
        """Does nothing after the end."""
        if self.ticket is not None:
            self.ticket.cancel(reason)


class Service:
    """What the endpoints share. Without an engine, until the model is loaded, it refuses."""

    def __init__(
        self, *, settings: Settings, engine: Engine | None = None, created: int | None = None
    ) -> None:
        self.settings = settings
        self.created = int(time.time()) if created is None else created
        self.stopping = False
        self.running: set[Running] = set()
        self._engine = engine
        most = settings.limits.per_client
        self._light, self._heavy = Lane(LIGHT, most=most), Lane(HEAVY, most=most)

    @property
    def loaded(self) -> bool:
        """Whether there is an engine."""
        return self._engine is not None

    @property
    def status(self) -> Status:
        """What the probes say; "failed": the engine has died of a bug."""
        if self.stopping:
            return "stopping"
        if self._engine is None:
            return "loading"
        return "ok" if self._engine.alive else "failed"

    @property
    def engine(self) -> Engine:
        """Raises ApiError while there is none."""
        if self._engine is None:
            raise unavailable("the model is being loaded: ask again soon", code="loading")
        return self._engine

    @engine.setter
    def engine(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def lm(self) -> LM:
        """For its tokenizer, configuration and settings only; its network is the engine's."""
        return self.engine.lm

    @property
    def name(self) -> str:
        return self.settings.name

    def check_model(self, name: str | None) -> str:
        """The id of the model, or of it with an adapter. Raises ApiError for any other name."""
        own = (self.name, "default", *self.settings.aliases)
        if not name or name in own:  # "" as llama.vim's
            return self.name
        base, _, adapter = name.rpartition(":")
        if adapter in self.settings.adapters and (not base or base in own):
            return f"{self.name}:{adapter}"
        raise ApiError(
            f"there is no model {name[:100]!r} here: ask for {self._known()}",
            status=404,
            kind="not_found_error",
            param="model",
            code="model_not_found",
        )

    def _known(self) -> str:
        first, more = list(self.settings.models)[:5], len(self.settings.models) > 5
        return " or ".join(map(repr, first)) + (", ..., see /v1/models" if more else "")

    def asking(self, name: str | None, caller: Caller) -> Caller:
        """The caller, whose work is then for the model of that name. Raises what `check_model`
        does."""
        return replace(caller, model=self.check_model(name))

    def submit(self, work: Work, caller: Caller, *, merge: Merge = latest_draft) -> Running:
        """Put a request for the caller's model in the queue. Raises OverloadedError or StoppedError
        at once."""
        if self.stopping:
            raise StoppedError("the server is stopping: ask again soon")
        running = Running(merge=merge, tally=caller.tally)
        running.ticket = self.engine.submit(
            work,
            adapter=self.settings.models.get(caller.model, ""),
            client=caller.client,
            deadline=self.settings.wait,
            tell=running.tell,
        )
        self.running.add(running)
        running.on_end = lambda: self.running.discard(running)
        caller.presence.on_leave(lambda: running.cancel("the client went away"))
        return running

    async def begun(self, work: Work, caller: Caller, *, merge: Merge = latest_draft) -> Running:
        """Submit it and wait for its first value, which `values` will give: what is wrong with the
        request is raised here, while an answer can still have its status."""
        running = self.submit(work, caller, merge=merge)
        await running.begin()
        return running

    async def gather(self, work: Work, caller: Caller) -> list[object]:
        """All values of a request; cancelled if this is."""
        return [value async for value in self.submit(work, caller, merge=_keep).values()]

    async def prepare(
        self, function: Callable[[], Made], caller: Caller, *, heavy: bool = False
    ) -> Made:
        """Run what takes long and needs no network, as tokenizing, on another thread; `heavy` where
        it may build an automaton. Raises what it raises, and what `Lane.run` does; given up when
        the client goes away."""
        lane = self._heavy if heavy else self._light
        running = asyncio.ensure_future(lane.run(function, client=caller.client))
        caller.presence.on_leave(running.cancel)
        try:
            return await running
        except asyncio.CancelledError:
            if caller.presence.left:
                raise RequestCancelledError("the client went away") from None
            raise

    def abandon(self, error: BaseException) -> None:
        """End whatever runs, without an engine that could do it."""
        for running in list(self.running):
            running.tell(Ended(error))

    def cancel_all(self, reason: str) -> None:
        """Cancel whatever runs."""
        for running in list(self.running):
            running.cancel(reason)


def _keep(old: object, new: object) -> None:
    return None


def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    _ = service.engine  # 503 until there is one
    return service


def caller_of(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


ServiceDep = Annotated[Service, Depends(service_of)]
CallerDep = Annotated[Caller, Depends(caller_of)]
