"""A request at work: ordinary code that stands still wherever it waits for the network."""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from greenlet import getcurrent, greenlet
from torch import Tensor

from canvaslm.engine.lm import LM
from canvaslm.engine.serving.line import Ask
from canvaslm.engine.serving.ticket import Item, Ticket
from canvaslm.errors import CanvasError

Work = Callable[[LM], Iterable[object]]

_numbers = itertools.count()


@dataclass(eq=False, kw_only=True)
class Fiber:
    """One request, from the queue to its end, on the engine's thread.

    client    whose share it counts for
    deadline  when its time is over, by the engine's clock; None: never
    ask       what it waits for; None before its first turn and after its end
    attained  tokens that passes have computed for it
    waited    number of the pass since which it has waited
    """

    work: Work
    ticket: Ticket
    client: str
    deadline: float | None
    number: int = field(default_factory=lambda: next(_numbers))
    ask: Ask | None = None
    attained: int = 0
    waited: int = 0
    error: BaseException | None = None
    done: bool = False
    _greenlet: greenlet | None = None

    def start(self, lm: LM, clock: Callable[[], float]) -> None:
        """Run up to the first wait, or the end."""
        self._greenlet = greenlet(self._run)
        self.ask = self._greenlet.switch(lm, clock)

    def answer(self, hidden_BND: Tensor) -> None:
        """Go on with the pass that it waited for."""
        assert self._greenlet is not None
        self.ask = self._greenlet.switch(hidden_BND)

    def fail(self, error: BaseException) -> None:
        """Let its wait raise `error`, so that it gives back what it holds."""
        assert self._greenlet is not None
        self.ask = self._greenlet.throw(error)
        while self.ask is not None:  # it caught that and went on
            self.ask = self._greenlet.throw(error)

    def _run(self, lm: LM, clock: Callable[[], float]) -> None:
        try:
            for value in self.work(lm):
                self.ticket.tell(Item(value), now=clock())
        except BaseException as error:
            self.error = untied(error)
        self.done = True


def untied(error: BaseException) -> BaseException:
    """The error without its frames, which would keep tensors; those of a bug stay as a note."""
    if not isinstance(error, CanvasError):
        error.add_note("".join(traceback.format_exception(error)))
    return error.with_traceback(None)


def wait(ask: Ask) -> Tensor:
    """Stand still until the engine has run this pass; the `wait` of a `Line`."""
    hub = getcurrent().parent
    if hub is None:
        raise RuntimeError("the engine's network is used outside of its requests")
    hidden_BND: Tensor = hub.switch(ask)
    return hidden_BND
