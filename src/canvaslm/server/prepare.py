"""Work that takes long and needs no network: on threads, fair between clients, never for ever."""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from canvaslm.errors import OverloadedError
from canvaslm.server.errors import ApiError

Made = TypeVar("Made")

LIGHT, HEAVY = 2, 1
"""Threads for tokenizing and the like; for building automata, which share Python's one lock."""
SECONDS = 30.0
LOOK = 0.05


class Interrupted(BaseException):
    """Raised inside of work that nobody waits for any more; no ordinary handler catches it."""


class Job:
    """A function at work on a thread of its own, which does not hold up the process's end."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[Any] = self._loop.create_future()
        self._thread = threading.Thread(
            target=self._run, args=(function,), name="canvaslm-prepare", daemon=True
        )
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def interrupt(self) -> None:
        """Raise Interrupted in the thread, as soon as it is in Python code."""
        number = ctypes.c_ulong(self._thread.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(number, ctypes.py_object(Interrupted))

    def _run(self, function: Callable[[], Any]) -> None:
        with suppress(Interrupted, RuntimeError):  # RuntimeError: the loop is closed
            self._loop.call_soon_threadsafe(self._tell, *outcome(function))

    def _tell(self, made: object, error: BaseException | None) -> None:
        if self.ended.done():
            return
        if error is None:
            self.ended.set_result(made)
        else:
            self.ended.set_exception(error)


def outcome(function: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """What it returns, and what it raises."""
    try:
        return function(), None
    except BaseException as error:
        return None, error


@dataclass(eq=False)
class _Turn:
    """One who waits for a thread."""

    client: str
    begun: asyncio.Event = field(default_factory=asyncio.Event)


class Lane:
    """So many threads, which clients take in turn. Used on the event loop only.

    `most` of one client may wait. Work that is interrupted keeps its thread until it has ended.
    """

    def __init__(self, threads: int, *, most: int, seconds: float = SECONDS) -> None:
        self._free, self._most, self._seconds = threads, most, seconds
        self._waiting: list[_Turn] = []
        self._served: Counter[str] = Counter()  # of those who wait, or have a thread
        self._ending: set[asyncio.Task[None]] = set()

    async def run(self, function: Callable[[], Made], *, client: str) -> Made:
        """What it returns or raises. Raises OverloadedError, and ApiError when it takes too long;
        cancelling interrupts it."""
        await self._enter(client)
        job = Job(function)
        try:
            async with asyncio.timeout(self._seconds):
                made: Made = await job.ended
                return made
        except TimeoutError:
            raise ApiError(
                f"making ready what was asked took more than {self._seconds:g} seconds: give a "
                "smaller schema, pattern, grammar or prompt",
                code="too_complex",
            ) from None
        finally:
            self._leave(job)

    async def _enter(self, client: str) -> None:
        if sum(turn.client == client for turn in self._waiting) >= self._most:
            raise OverloadedError(
                f"this client has {self._most} requests that wait to be made ready: wait for some "
                "to end",
                retry_after=1.0,
            )
        turn = _Turn(client)
        self._waiting.append(turn)
        self._advance()
        try:
            await turn.begun.wait()
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
            else:
                self._free += 1
            self._advance()
            raise

    def _advance(self) -> None:
        """Give free threads away: to the client that has had least of those who wait."""
        while self._free and self._waiting:
            turn = min(self._waiting, key=lambda one: self._served[one.client])
            self._waiting.remove(turn)
            self._served[turn.client] += 1
            self._free -= 1
            turn.begun.set()
        if not self._waiting:
            self._served.clear()

    def _leave(self, job: Job) -> None:
        if not job.ended.cancelled():
            self._give_back()
            return
        ending = asyncio.ensure_future(self._end(job))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _end(self, job: Job) -> None:
        job.interrupt()
        while job.alive:
            await asyncio.sleep(LOOK)
        self._give_back()

    def _give_back(self) -> None:
        self._free += 1
        self._advance()
