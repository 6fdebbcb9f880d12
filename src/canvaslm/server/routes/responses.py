"""`POST /v1/responses`: a conversation answered in typed items, at once or as they settle."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from canvaslm.engine.events import Done, Draft, Text
from canvaslm.engine.lm import LM
from canvaslm.server.asking.params import Ask, is_heavy
from canvaslm.server.asking.responses import as_response, read_request, wants_logprobs
from canvaslm.server.asking.thinking import Closed
from canvaslm.server.errors import ApiError
from canvaslm.server.schema.responses import ResponseReply, ResponsesBody
from canvaslm.server.service import Caller, CallerDep, Running, Service, ServiceDep
from canvaslm.server.sse import Event, EventStream
from canvaslm.server.telling.answers import STREAMED, finish, results_of, start
from canvaslm.server.telling.drafts import DraftWriter
from canvaslm.server.telling.responses import Writer, new_id, opening
from canvaslm.text.spans import Broken, Thought, ToolCall

Json = dict[str, Any]
Told = Draft | Text | Thought | ToolCall | Broken | Done | Closed

router = APIRouter(tags=["responses"])


@router.post("/v1/responses", response_model=ResponseReply, responses=STREAMED)
async def respond(body: ResponsesBody, service: ServiceDep, caller: CallerDep) -> Response:
    """Answer a conversation. Nothing is kept: send all of it each time.

    With `stream` the answer comes as typed server-sent events, text as soon as it is settled; the
    last is response.completed, response.incomplete or response.failed.
    """
    caller = service.asking(body.model, caller)
    lm, settings = service.lm, service.settings
    ask = await service.prepare(
        lambda: read_request(body, lm, settings), caller, heavy=is_heavy(body)
    )
    with as_response():
        (running,) = await start(service, [ask], caller)
    writer = open_writer(body, ask, service, caller)
    if body.stream:
        return EventStream(
            stream(running, writer),
            done=False,
            failed=lambda error: failure(writer, error),
        )
    (result,) = results_of(await finish([running]))
    return JSONResponse(await service.prepare(lambda: writer.replay(result), caller))


def open_writer(body: ResponsesBody, ask: Ask, service: Service, caller: Caller) -> Writer:
    """What writes the response down."""
    lm, seed = service.lm, ask.params.seed
    assert seed is not None
    start = opening(
        body, id=new_id("resp"), model=caller.model, created=int(time.time()), seed=seed
    )
    return Writer(
        start,
        tokenizer=lm.tokenizer,
        drafts=open_drafts(body, ask, lm),
        logprobs=wants_logprobs(body),
        parallel=body.parallel_tool_calls is not False,
        now=lambda: int(time.time()),
    )


def open_drafts(body: ResponsesBody, ask: Ask, lm: LM) -> DraftWriter | None:
    if not body.canvas_events:
        return None
    return DraftWriter.of(lm, ask.params, shown=body.canvas_events)


async def stream(running: Running, writer: Writer) -> AsyncGenerator[Event, None]:
    """The response's events as they come."""
    for told in writer.begin():
        yield event(told)
    async for value in running.values():
        assert isinstance(value, Told)
        for told in writer.take(value):
            yield event(told)


def failure(writer: Writer, error: ApiError) -> Event:
    """The last event of a response that did not come to its end."""
    return event(writer.fail(error))


def event(told: Mapping[str, object]) -> Event:
    return Event(name=str(told["type"]), data=told)
