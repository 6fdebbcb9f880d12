"""`POST /v1/fim/completions`: the text between a prompt and a suffix, as editors ask for it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import APIRouter
from starlette.responses import Response

from canvaslm.engine.events import Draft
from canvaslm.engine.rewriting.infill import Infilled
from canvaslm.engine.rewriting.rewriter import MAX_GAP
from canvaslm.server.asking.gaps import (
    Gap,
    blaming,
    check_document,
    cut,
    read_params,
    rules_for,
    usage_of,
    written,
)
from canvaslm.server.asking.params import check_stream, is_heavy
from canvaslm.server.errors import ApiError
from canvaslm.server.schema.fim import FimBody, FimChoice, FimMessage, FimReply
from canvaslm.server.service import CallerDep, Running, Service, ServiceDep
from canvaslm.server.sse import EventStream
from canvaslm.server.telling.answers import STREAMED
from canvaslm.server.telling.drafts import DraftWriter
from canvaslm.server.telling.watched import begin, finish

Json = dict[str, Any]

router = APIRouter(tags=["rewriting"])


@router.post("/v1/fim/completions", response_model=FimReply, responses=STREAMED)
async def fim(body: FimBody, service: ServiceDep, caller: CallerDep) -> Response | FimReply:
    """Fill the gap between `prompt` and `suffix`.

    A stream gives the text in one chunk, once it is settled; with `canvas_events` drafts come
    before it.
    """
    check_stream(body)
    caller = service.asking(body.model, caller)
    head = {
        "id": f"fim-{caller.id}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": caller.model,
    }
    gap = await service.prepare(lambda: read_gap(body, service), caller, heavy=is_heavy(body))
    with blaming("prompt", FimBody.model_fields):
        if not body.stream:
            filled = Fim(body=body, gap=gap, done=await finish(service, gap, caller))
            return FimReply.model_validate({**head, **filled.reply(service)})
        running = await begin(service, gap, caller, drafts=bool(body.canvas_events))
    return EventStream(chunks(running, body=body, gap=gap, head=head, service=service))


def read_gap(body: FimBody, service: Service) -> Gap:
    """What is to be filled, and how. Raises ApiError."""
    seed = one_of(body, "seed", "random_seed")
    most = one_of(body, "max_tokens", "max_completion_tokens")
    lm, settings = service.lm, service.settings
    check_document("prompt", len(body.prompt) + len(body.suffix or ""), lm, settings)
    params = read_params(body.model_copy(update={"seed": seed}), lm, settings)
    return Gap(
        before=body.prompt,
        after=body.suffix or "",
        most=MAX_GAP if most is None else most,
        params=params,
        rules=rules_for(params),
    )


def one_of(body: FimBody, name: str, other: str) -> int | None:
    """The value of a field that has two names."""
    value, second = getattr(body, name), getattr(body, other)
    if value is not None and second is not None and value != second:
        raise ApiError(f"{other} contradicts {name}: give one of them", param=other)
    found: int | None = second if value is None else value
    return found


@dataclass(frozen=True, kw_only=True)
class Fim:
    """A filled gap as its response tells it."""

    body: FimBody
    gap: Gap
    done: object

    @property
    def infilled(self) -> Infilled:
        assert isinstance(self.done, Infilled)
        return self.done

    @property
    def text(self) -> str:
        return cut(self.infilled.text, self.body.stop)[0]

    def reason(self, service: Service) -> Literal["stop", "length"]:
        whole = self.text == self.infilled.text
        used = self.infilled.gap_tokens >= self.gap.length(service.lm)
        return "length" if whole and used else "stop"

    def reply(self, service: Service) -> Json:
        """The response beside its head."""
        choice = FimChoice(
            text=self.text,
            message=FimMessage(content=self.text),
            finish_reason=self.reason(service),
        )
        return {"choices": [choice], "usage": usage_of(self.infilled), "seed": self.infilled.seed}


async def chunks(
    running: Running, *, body: FimBody, gap: Gap, head: Json, service: Service
) -> AsyncIterator[Json]:
    """Drafts, if they were asked for, the text, its end, and the usage, if it was asked for."""
    writer = DraftWriter.of(service.lm, gap.params, shown=body.canvas_events)
    async for value in running.values():
        if isinstance(value, Draft):
            yield {**head, "choices": [], "canvas": writer.write(written(value))}
            continue
        filled = Fim(body=body, gap=gap, done=value)
        yield {**head, "choices": [piece(filled.text)]}
        end = piece("", finish_reason=filled.reason(service))
        yield {**head, "choices": [end], "seed": filled.infilled.seed}
        if body.stream_options and body.stream_options.include_usage:
            yield {**head, "choices": [], "usage": usage_of(filled.infilled).model_dump()}


def piece(text: str, *, finish_reason: str | None = None) -> Json:
    """A choice of a chunk, as clients of completions and those of Codestral read it."""
    return {
        "index": 0,
        "text": text,
        "delta": {"role": "assistant", "content": text},
        "logprobs": None,
        "finish_reason": finish_reason,
    }
