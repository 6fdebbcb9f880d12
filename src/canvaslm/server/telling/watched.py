"""A call that shows its drafts, as a request: its values are the drafts, then what it returns."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from canvaslm.engine.lm import LM
from canvaslm.engine.rewriting.write import Watch
from canvaslm.engine.serving.ticket import Item
from canvaslm.server.service import Caller, Running, Service

Call = Callable[[LM, Watch | None], object]
"""Is given what to show its drafts to, if anybody looks."""


def submit(service: Service, call: Call, caller: Caller, *, drafts: bool) -> Running:
    """Put a call in the queue. Raises what `Service.submit` does.

    A draft is told from within the call, on the engine's thread, and so comes before the result.
    """
    if not drafts:
        return service.submit(lambda lm: [call(lm, None)], caller)
    ready: Future[Running] = Future()  # the engine may be at work before `submit` has returned

    def work(lm: LM) -> list[object]:
        tell = ready.result().tell
        return [call(lm, lambda draft: tell(Item(draft)))]

    running = service.submit(work, caller)
    ready.set_result(running)
    return running


async def begin(service: Service, call: Call, caller: Caller, *, drafts: bool) -> Running:
    """Submit it and wait for its first value; what is wrong with the request is raised here."""
    running = submit(service, call, caller, drafts=drafts)
    await running.begin()
    return running


async def finish(service: Service, call: Call, caller: Caller) -> object:
    """What the call returns."""
    (value,) = await service.gather(lambda lm: [call(lm, None)], caller)
    return value
