"""`POST /v1/chat/completions`: a conversation answered, at once or as it settles."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from canvaslm.engine.events import Done
from canvaslm.engine.lm import LM
from canvaslm.engine.result import Result
from canvaslm.server.asking.chat import read_chat
from canvaslm.server.asking.params import Ask, is_heavy, naming
from canvaslm.server.schema.chat import ChatBody, ChatCompletion
from canvaslm.server.service import CallerDep, Running, ServiceDep
from canvaslm.server.sse import EventStream
from canvaslm.server.telling.answers import STREAMED, finish, head_of, merged, results_of, start
from canvaslm.server.telling.chat import ChoiceStream, Telling, choice_of, show_usage
from canvaslm.server.telling.drafts import DraftWriter

Json = dict[str, Any]

router = APIRouter(tags=["chat"])


@router.post("/v1/chat/completions", response_model=ChatCompletion, responses=STREAMED)
async def chat(body: ChatBody, service: ServiceDep, caller: CallerDep) -> Response:
    """Answer a conversation.

    With `stream` the answer comes as server-sent events of chat.completion.chunk, text as soon as
    it is settled, and ends with [DONE].
    """
    caller = service.asking(body.model, caller)
    lm, settings = service.lm, service.settings
    ask = await service.prepare(lambda: read_chat(body, lm, settings), caller, heavy=is_heavy(body))
    works = [ask.again(count) for count in range(body.n or 1)]
    asked = body.model_fields_set | {"max_tokens"}
    with naming(asked):
        running = await start(service, works, caller)
    if body.stream:
        head = head_of(
            service, caller, kind="chat.completion.chunk", prefix="chatcmpl", seed=ask.seed
        )
        choices = [open_choice(head, n, body, ask, lm) for n in range(len(running))]
        chunks = stream(running, choices, head, body, lm)
        return EventStream(chunks)
    with naming(asked):
        results = results_of(await finish(running))
    head = head_of(service, caller, kind="chat.completion", prefix="chatcmpl", seed=ask.seed)
    shown = await service.prepare(lambda: show(results, body, ask, lm), caller)
    return JSONResponse({**head, **shown})


def show(results: Sequence[Result], body: ChatBody, ask: Ask, lm: LM) -> Json:
    """The answers and what they took."""
    choices = [
        choice_of(result, index=n, telling=telling(body, ask, lm), logprobs=bool(body.logprobs))
        for n, result in enumerate(results)
    ]
    return {"choices": choices, "usage": show_usage(results, lm.tokenizer)}


def telling(body: ChatBody, ask: Ask, lm: LM) -> Telling:
    return Telling(
        lm.tokenizer,
        parallel=body.parallel_tool_calls is not False,
        bound=ask.params.constraint is not None,
    )


def open_choice(head: Json, index: int, body: ChatBody, ask: Ask, lm: LM) -> ChoiceStream:
    """The writer of one answer's chunks."""
    drafts = None
    if body.canvas_events:
        drafts = DraftWriter.of(lm, ask.params, shown=body.canvas_events, choice=index)
    return ChoiceStream(
        head=head,
        index=index,
        telling=telling(body, ask, lm),
        drafts=drafts,
        logprobs=bool(body.logprobs),
    )


async def stream(
    running: Sequence[Running],
    choices: Sequence[ChoiceStream],
    head: Json,
    body: ChatBody,
    lm: LM,
) -> AsyncGenerator[Json, None]:
    """The chunks of all answers, as they come, and the usage where it was asked for."""
    counted = body.stream_options is not None and body.stream_options.include_usage
    empty = {"usage": None} if counted else {}
    for choice in choices:
        yield {**choice.begin(), **empty}
    results: dict[int, Result] = {}
    async for number, event in merged(running):
        for chunk in choices[number].take(event):
            yield {**chunk, **empty}
        if isinstance(event, Done):
            results[number] = event.result
    if counted:
        ordered = [results[number] for number in sorted(results)]
        yield {**head, "choices": [], "usage": show_usage(ordered, lm.tokenizer)}
