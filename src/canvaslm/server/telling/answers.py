"""Several answers at once: submitted together, heard as they come, cancelled together."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from importlib.metadata import version
from typing import Any

from canvaslm.engine.events import Done
from canvaslm.engine.result import Result
from canvaslm.kernels.choose import operations
from canvaslm.server.service import Caller, Running, Service, Work

Json = dict[str, Any]

STREAMED: dict[int | str, Json] = {
    200: {"description": "The answers, or their stream", "content": {"text/event-stream": {}}}
}
"""For the OpenAPI document of an endpoint that also streams."""


async def start(service: Service, works: Sequence[Work], caller: Caller) -> list[Running]:
    """Submit all, and wait for the first value of the first: what is wrong with a request is raised
    here. None is left running when one is refused."""
    running: list[Running] = []
    try:
        for work in works:
            running.append(service.submit(work, caller))
        await running[0].begin()
    except BaseException:
        for one in running:
            one.cancel("another answer to the same request failed")
        raise
    return running


async def finish(running: Sequence[Running]) -> list[object]:
    """The last value of each; none is left running when one fails."""
    try:
        return list(await asyncio.gather(*map(last_value, running)))
    finally:
        for one in running:
            one.cancel("another answer to the same request failed")


async def last_value(running: Running) -> object:
    """The value that a request ends with: a stream's result, or what a call returned."""
    last: object = None
    async for value in running.values():
        last = value
    return last.result if isinstance(last, Done) else last


def results_of(values: Sequence[object]) -> list[Result]:
    """The values as results, which they all are."""
    assert all(isinstance(value, Result) for value in values)
    return [value for value in values if isinstance(value, Result)]


async def merged(running: Sequence[Running]) -> AsyncIterator[tuple[int, object]]:
    """The values of all, with the number of whose they are, in the order in which they come."""
    sources = [one.values() for one in running]
    waiting = {asyncio.ensure_future(anext(source)): n for n, source in enumerate(sources)}
    try:
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for future in sorted(done, key=lambda future: waiting[future]):
                number = waiting.pop(future)
                try:
                    value = future.result()
                except StopAsyncIteration:
                    continue
                waiting[asyncio.ensure_future(anext(sources[number]))] = number
                yield number, value
    finally:
        for future in waiting:
            future.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for one in running:
            one.cancel("the client went away")


def head_of(service: Service, caller: Caller, *, kind: str, prefix: str, seed: int) -> Json:
    """What every response and chunk begins with."""
    return {
        "id": f"{prefix}-{secrets.token_hex(12)}",
        "object": kind,
        "created": int(time.time()),
        "model": caller.model,
        "system_fingerprint": fingerprint(service, caller),
        "seed": seed,
    }


def fingerprint(service: Service, caller: Caller) -> str:
    """A name for all that decides which text a seed gives."""
    placement = service.lm.placement
    parts = (caller.model, version("canvaslm"), operations().name, str(placement.dtype))
    return f"fp_{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"
