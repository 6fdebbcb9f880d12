"""`POST /v1/edits`: a span of a text written anew, or the whole of it repaired."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from canvaslm.engine.events import Draft
from canvaslm.server.asking.gaps import blaming, check_document, read_params, written
from canvaslm.server.asking.params import check_stream, is_heavy
from canvaslm.server.asking.spans import Work, read_work
from canvaslm.server.schema.edits import EditReply, EditsBody, RepairReply
from canvaslm.server.service import CallerDep, Running, ServiceDep
from canvaslm.server.sse import EventStream
from canvaslm.server.telling.answers import STREAMED
from canvaslm.server.telling.drafts import DraftWriter
from canvaslm.server.telling.watched import begin, finish

Json = dict[str, Any]

router = APIRouter(tags=["rewriting"])


@router.post("/v1/edits", response_model=EditReply | RepairReply, responses=STREAMED)
async def edits(
    body: EditsBody, service: ServiceDep, caller: CallerDep
) -> Response | EditReply | RepairReply:
    """Write a span of a text anew, or repair the text.

    A stream gives the reply as its last chunk, in `edit`; with `canvas_events` drafts of the span
    come before it.
    """
    caller = service.asking(body.model, caller)
    check_stream(body)
    lm, settings = service.lm, service.settings
    check_document("text", len(body.text) + len(body.prompt or ""), lm, settings)
    params = await service.prepare(
        lambda: read_params(body, lm, settings), caller, heavy=is_heavy(body)
    )
    work = read_work(body, params)
    head = {"id": f"edit-{caller.id}", "created": int(time.time()), "model": caller.model}
    with blaming("text", EditsBody.model_fields):
        if not body.stream:
            return work.reply(await finish(service, work, caller), head)
        running = await begin(service, work, caller, drafts=bool(body.canvas_events))
    writer = DraftWriter.of(lm, params, shown=body.canvas_events)
    return EventStream(chunks(running, writer=writer, work=work, head=head))


async def chunks(
    running: Running, *, writer: DraftWriter, work: Work, head: Json
) -> AsyncIterator[Json]:
    """Drafts of the span, if they were asked for, and the reply."""
    chunk = {**head, "object": "edit.chunk", "choices": []}
    async for value in running.values():
        if isinstance(value, Draft):
            yield {**chunk, "canvas": writer.write(written(value))}
        else:
            yield {**chunk, "edit": work.reply(value, head).model_dump()}
