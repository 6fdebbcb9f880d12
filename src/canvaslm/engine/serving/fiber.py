"""A request at work: ordinary code that stands still wherever it waits for the network."""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from greenlet import GreenletExit, getcurrent, greenlet
from torch import Tensor

from canvaslm.engine.lm import LM
from canvaslm.engine.serving.line import Ask
from canvaslm.engine.serving.ticket import Item, Ticket
from canvaslm.errors import CanvasError, RequestCancelledError

Work = Callable[[LM], Iterable[object]]
"""What a request does. Called again it gives the same values."""

_numbers = itertools.count()


PATIENCE = 16  # throws into a request that catches them and asks for another pass


@dataclass(eq=False, kw_only=True)
class Fiber:
    """One request, from the queue to its end, on the engine's thread.

    adapter   the network it is for: a name of the engine's, "" for the base
    client    whose share it counts for
    deadline  when its time is over, by the engine's clock; None: never
    ask       what it waits for; None before its first turn and after its end
    told      how many values it has told
    attained  tokens that passes have computed for it
    waited    number of the pass since which it has waited
    """

    work: Work
    ticket: Ticket
    client: str
    deadline: float | None
    adapter: str = ""
    number: int = field(default_factory=lambda: next(_numbers))
    ask: Ask | None = None
    told: int = 0
    attained: int = 0
    waited: int = 0
    error: BaseException | None = None
    done: bool = False
    _greenlet: greenlet | None = None
    _ending: bool = False

    def start(self, lm: LM, clock: Callable[[], float]) -> None:
        """Run up to the first wait, or the end."""
        self._greenlet = greenlet(self._run)
        self.ask = self._greenlet.switch(lm, clock)

    def answer(self, hidden_BND: Tensor) -> None:
        """Go on with the pass that it waited for."""
        assert self._greenlet is not None
        self.ask = self._greenlet.switch(hidden_BND)

    def fail(self, error: BaseException) -> None:
        """End it with `error`, whatever it makes of that: its wait raises it, so that it gives back
        what it holds. Nothing that it says from now on is told."""
        self._ending = True
        tries = 0
        while self._greenlet is not None and not self._greenlet.dead and tries <= PATIENCE:
            self.ask = self._greenlet.throw(error if tries < PATIENCE else GreenletExit())
            tries += 1
        self.ask, self._greenlet = None, None
        self.error, self.done = untied(error), True

    def rewind(self) -> None:
        """Give back what it holds and be as before its start. Values told are not told again."""
        self.fail(RequestCancelledError("this request gives way to others, and begins again"))
        self.error, self.done, self._ending = None, False, False

    def _run(self, lm: LM, clock: Callable[[], float]) -> None:
        try:
            for number, value in enumerate(self.work(lm)):
                if number >= self.told and not self._ending:
                    self.told += 1
                    self.ticket.tell(Item(value), now=clock())
        except BaseException as error:
            self.error = untied(error)
        self.done = True


def untied(error: BaseException) -> BaseException:
    """The error and its causes without their frames, which would keep tensors and pages; those of a
    bug stay as a note."""
    if not isinstance(error, CanvasError) and error.__traceback__ is not None:
        error.add_note("".join(traceback.format_exception(error)))
    for one in causes(error):
        one.__traceback__ = None
    return error


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and all that it came from or holds."""
    found: list[BaseException] = []
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is None or any(one is other for other in found):
            continue
        found.append(one)
        yield one
        todo += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            todo += one.exceptions


def wait(ask: Ask) -> Tensor:
    """Stand still until the engine has run this pass; the `wait` of a `Line`."""
    hub = getcurrent().parent
    if hub is None:
        raise RuntimeError("the engine's network is used outside of its requests")
    hidden_BND: Tensor = hub.switch(ask)
    return hidden_BND
