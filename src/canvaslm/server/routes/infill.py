"""`POST /infill`: llama.cpp's shape of a gap, for llama.vim, llama.vscode and their like."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from starlette.responses import Response

from canvaslm.engine.events import Draft
from canvaslm.engine.rewriting.infill import Infilled
from canvaslm.server.asking.gaps import blaming
from canvaslm.server.asking.llama import Order, Outcome, pick, read_order
from canvaslm.server.asking.params import check_size
from canvaslm.server.schema.infill import InfillBody, InfillReply
from canvaslm.server.service import Caller, CallerDep, Running, Service, ServiceDep
from canvaslm.server.sse import EventStream
from canvaslm.server.telling.answers import STREAMED
from canvaslm.server.telling.watched import submit

Json = dict[str, Any]

router = APIRouter(tags=["rewriting"])


@router.post("/infill", response_model=InfillReply, responses=STREAMED)
async def infill(body: InfillBody, service: ServiceDep, caller: CallerDep) -> Response:
    """Fill a gap. A stream gives the text, once it is settled, and then the rest of the reply."""
    caller = service.asking(body.model, caller)
    check_body(body, service)
    with blaming("input_prefix", InfillBody.model_fields):
        order = await service.prepare(lambda: read_order(body, service.lm), caller)
        outcome = await carry_out(order, service, caller)
    reply = pick(outcome.reply(service.lm, model=caller.model).model_dump(), body.response_fields)
    if not body.stream:
        return JSONResponse(reply)
    return EventStream(events(outcome.content, reply), done=False)


def check_body(body: InfillBody, service: Service) -> None:
    """Raise ApiError for more text than this server takes."""
    extra = sum(len(piece.text) + len(piece.filename or "") for piece in body.input_extra or [])
    size = len(body.input_prefix) + len(body.input_suffix) + len(body.prompt) + extra
    check_size("input_prefix", size, service.settings.prompt)


async def carry_out(
    order: Order, service: Service, caller: Caller, *, clock: Callable[[], float] = time.monotonic
) -> Outcome:
    """Fill the gap, or what there is time for; n_predict 0 is a greeting, and asks for nothing."""
    started = clock()
    value = None
    if order.body.n_predict != 0:
        running = submit(service, order.gap, caller, drafts=order.seconds is not None)
        value = await last(running, within=order.seconds)
    return Outcome(order=order, value=value, seconds=clock() - started)


async def last(running: Running, *, within: float | None) -> Infilled | Draft | None:
    """The last thing that it gives in so many seconds."""
    latest: Infilled | Draft | None = None
    try:
        async with asyncio.timeout(within):
            async for value in running.values():
                assert isinstance(value, Infilled | Draft)
                latest = value
    except TimeoutError:
        running.cancel("its time was over")
    return latest


async def events(content: str, reply: Json) -> AsyncIterator[Json]:
    """The text, and what else the reply has."""
    yield {"content": content, "stop": False}
    yield {**reply, "content": "", "stop": True}
