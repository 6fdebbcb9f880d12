"""`POST /v1/completions`: texts gone on with, or filled in before a suffix."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from canvaslm.engine.lm import LM
from canvaslm.server.asking.completions import Asked, read_completion, read_gap
from canvaslm.server.asking.params import Ask, is_heavy, naming
from canvaslm.server.routes.fim import fim
from canvaslm.server.schema.completions import Completion, CompletionBody
from canvaslm.server.service import CallerDep, Running, ServiceDep
from canvaslm.server.sse import EventStream
from canvaslm.server.telling.answers import STREAMED, fingerprint, finish, head_of, merged, start
from canvaslm.server.telling.completions import Choice, show_usage
from canvaslm.server.telling.drafts import DraftWriter

Json = dict[str, Any]

router = APIRouter(tags=["completions"])


@router.post("/v1/completions", response_model=Completion, responses=STREAMED)
async def completions(body: CompletionBody, service: ServiceDep, caller: CallerDep) -> Response:
    """Go on with a text, or with several.

    With `stream` the answers come as server-sent events of text_completion, ended by [DONE]. With
    `suffix` this is /v1/fim/completions.
    """
    caller = service.asking(body.model, caller)
    if body.suffix is not None:
        filled = await fim(read_gap(body), service, caller)
        if isinstance(filled, Response):
            return filled
        named = {"system_fingerprint": fingerprint(service, caller)}
        return JSONResponse({**filled.model_dump(exclude_none=True), **named})
    lm, settings = service.lm, service.settings
    asked = await service.prepare(
        lambda: read_completion(body, lm, settings), caller, heavy=is_heavy(body)
    )
    fields = body.model_fields_set | {"max_tokens"}
    with naming(fields):
        running = await start(service, asked.tasks, caller)
    head = head_of(service, caller, kind="text_completion", prefix="cmpl", seed=asked.seed)
    choices = [open_choice(head, n, body, asked, lm) for n in range(len(running))]
    if body.stream:
        return EventStream(stream(running, choices, asked, body, head, lm))
    with naming(fields):
        values = await finish(running)
    shown = await service.prepare(
        lambda: [choice.whole(value) for choice, value in zip(choices, values, strict=True)],
        caller,
    )
    usage = show_usage(choices, asked.prompts, lm.tokenizer)
    return JSONResponse({**head, "choices": shown, "usage": usage})


def open_choice(head: Json, index: int, body: CompletionBody, asked: Asked, lm: LM) -> Choice:
    """The writer of one answer."""
    task, drafts = asked.tasks[index], None
    if body.canvas_events and isinstance(task, Ask):
        drafts = DraftWriter.of(lm, task.params, shown=body.canvas_events, choice=index)
    return Choice(
        index=index,
        given=asked.given(index),
        tokenizer=lm.tokenizer,
        echo=bool(body.echo),
        bound=isinstance(task, Ask) and task.params.constraint is not None,
        top=body.logprobs,
        drafts=drafts,
        head=head,
    )


async def stream(
    running: Sequence[Running],
    choices: Sequence[Choice],
    asked: Asked,
    body: CompletionBody,
    head: Json,
    lm: LM,
) -> AsyncGenerator[Json, None]:
    """The chunks of all answers, as they come, and the usage where it was asked for."""
    counted = body.stream_options is not None and body.stream_options.include_usage
    empty = {"usage": None} if counted else {}
    for choice in choices:
        if text := choice.start():
            yield {**choice.chunk(text), **empty}
    async for number, event in merged(running):
        for chunk in choices[number].take(event):
            yield {**chunk, **empty}
    if counted:
        usage = show_usage(choices, asked.prompts, lm.tokenizer)
        yield {**head, "choices": [], "usage": usage}
