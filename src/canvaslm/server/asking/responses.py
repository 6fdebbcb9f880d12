"""From the body of a response's request to what the engine is asked: as the chat that it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from canvaslm.engine.lm import LM
from canvaslm.server.asking.chat import read_chat
from canvaslm.server.asking.params import Ask, naming
from canvaslm.server.asking.responses_input import read_items
from canvaslm.server.errors import ApiError, api_error
from canvaslm.server.schema.chat import ChatBody
from canvaslm.server.schema.common import Sampling
from canvaslm.server.schema.responses import (
    LOGPROBS,
    FunctionChoice,
    FunctionTool,
    JsonSchemaFormat,
    ResponsesBody,
)
from canvaslm.server.settings import Settings

Json = dict[str, Any]

RENAMED = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "logprobs": "include",
}
_CHAT_WORD = re.compile(r"\b(max_tokens|response_format|reasoning_effort)\b")
_OWN = {"n", "stream_options"}
SAME = tuple(name for name in Sampling.model_fields if name not in _OWN)


def read_request(body: ResponsesBody, lm: LM, settings: Settings) -> Ask:
    """What to ask for. Raises ApiError naming what cannot be served.

    Tokenizes, and builds automata: not for the event loop.
    """
    if body.top_logprobs and not wants_logprobs(body):
        raise ApiError(
            f"top_logprobs would have no effect without {LOGPROBS!r} in include: add it there",
            param="top_logprobs",
        )
    if body.stream_options is not None and not body.stream:
        raise ApiError(
            "stream_options would have no effect without stream: set stream to true, or leave it "
            "out",
            param="stream_options",
        )
    fields = chat_fields(body)
    with as_response():
        try:
            chat = ChatBody.model_validate(fields)
        except ValidationError as failure:
            place = [{**error, "loc": ("body", *error["loc"])} for error in failure.errors()]
            raise api_error(RequestValidationError(place)) from None
        return read_chat(chat, lm, settings)


def wants_logprobs(body: ResponsesBody) -> bool:
    """Whether tokens of the answer come with their log-probabilities."""
    return LOGPROBS in (body.include or ())


def chat_fields(body: ResponsesBody) -> Json:
    """The same request as the body of a chat. Raises what reading the input does."""
    logprobs = wants_logprobs(body)
    return {
        **{name: getattr(body, name) for name in SAME},
        "messages": read_items(body.input, instructions=body.instructions),
        "max_completion_tokens": body.max_output_tokens,
        "tools": None if body.tools is None else [show_tool(tool) for tool in body.tools],
        "tool_choice": show_choice(body.tool_choice),
        "response_format": show_format(body),
        "reasoning_effort": body.reasoning.effort if body.reasoning else None,
        "thinking": body.thinking,
        "thinking_budget": body.thinking_budget,
        "logprobs": logprobs,
        "top_logprobs": body.top_logprobs if logprobs else None,
        "logprobs_kind": body.logprobs_kind,
    }


def show_tool(tool: FunctionTool) -> Json:
    function = tool.model_dump(include={"name", "description", "parameters", "strict"})
    return {"type": "function", "function": function}


def show_choice(choice: str | FunctionChoice | None) -> str | Json | None:
    if not isinstance(choice, FunctionChoice):
        return choice
    return {"type": "function", "function": {"name": choice.name}}


def show_format(body: ResponsesBody) -> Json | None:
    wanted = body.text.format if body.text else None
    if wanted is None:
        return None
    if not isinstance(wanted, JsonSchemaFormat):
        return {"type": wanted.type}
    schema = {"name": wanted.name, "schema": wanted.schema_, "strict": wanted.strict}
    return {"type": "json_schema", "json_schema": schema}


@contextmanager
def as_response() -> Iterator[None]:
    """Errors inside name the fields of a chat; outside those of a response."""
    try:
        with naming(ChatBody.model_fields):
            yield
    except ApiError as error:
        raise renamed(error) from None


def renamed(error: ApiError) -> ApiError:
    """An error in the names of this endpoint."""
    head, dot, rest = (error.param or "").partition(".")
    return ApiError(
        _CHAT_WORD.sub(lambda match: RENAMED[match[0]], error.message),
        status=error.status,
        kind=error.kind,
        param=f"{RENAMED.get(head, head)}{dot}{rest}" or None,
        code=error.code,
        headers=error.headers,
    )
