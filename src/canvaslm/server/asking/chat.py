"""From the body of a chat to what the engine is asked."""

from __future__ import annotations

from typing import Any

from canvaslm.control.language.compile import Constraint
from canvaslm.control.language.constraints import JsonSchema
from canvaslm.engine.lm import LM
from canvaslm.server.asking.params import (
    Ask,
    check_size,
    check_stream,
    constraint_field,
    count_characters,
    holds,
    make_ask,
    naming,
    read_constraint,
    read_sampling,
    read_thoughts,
)
from canvaslm.server.errors import ApiError
from canvaslm.server.schema.chat import ChatBody, NamedTool, PlainFormat, SchemaFormat
from canvaslm.server.settings import Settings

Json = dict[str, Any]

ANY_OBJECT = {"type": "object", "additionalProperties": True}
DROPPED = {"reasoning_content", "annotations", "refusal", "type"}
FORMAT = "response_format"


def read_chat(body: ChatBody, lm: LM, settings: Settings) -> Ask:
    """The first answer to ask for. Raises ApiError naming what cannot be served.

    Tokenizes, and builds automata: not for the event loop.
    """
    check_stream(body)
    messages = [show_message(message.model_dump(exclude_none=True)) for message in body.messages]
    check_size("messages", count_characters(messages), settings.prompt)
    tools, choice = read_tools(body, settings)
    thoughts = read_thoughts(body, effort=body.effort)
    constraint = read_format(body, settings)
    length = read_length(body)
    with naming(
        body.model_fields_set, otherwise=constraint_field(body) or (FORMAT if constraint else None)
    ):
        fields = {
            **read_sampling(body),
            "hold_settled": holds(body),
            "effort": thoughts.effort,
            "thinking": thoughts.on,
            "tools": tools,
            "tool_choice": choice,
            "constraint": constraint,
            "logprobs": bool(body.logprobs),
            "top_logprobs": body.top_logprobs,
            "logprobs_kind": body.logprobs_kind,
        }
        budget, moves = thoughts.budget, settings.moves
        return make_ask(
            messages, fields, lm=lm, mode=body.mode, length=length, budget=budget, moves=moves
        )


def show_message(message: Json) -> Json:
    """A message as chat templates know it: without thoughts, a refusal in its content."""
    kept = {name: value for name, value in message.items() if name not in DROPPED}
    if isinstance(kept.get("content"), list):
        parts = kept["content"]
        kept["content"] = [{"type": "text", "text": p.get("text", p.get("refusal"))} for p in parts]
    elif message.get("refusal") and not kept.get("content"):
        kept["content"] = message["refusal"]
    for call in kept.get("tool_calls", ()):
        call.pop("index", None)
    return kept


def read_length(body: ChatBody) -> int | None:
    """The longest answer, by either name. Raises ApiError where the two differ."""
    old, new = body.max_tokens, body.max_completion_tokens
    if None not in (old, new) and old != new:
        raise ApiError(
            f"max_tokens is {old} and max_completion_tokens {new}, which mean the same: give one",
            param="max_tokens",
        )
    return new if old is None else old


def read_tools(body: ChatBody, settings: Settings) -> tuple[list[Json] | None, str | None]:
    """The tools that the model is shown, and `Params.tool_choice`. Raises ApiError."""
    asked, choice = body.tools or None, body.tool_choice
    if asked is None:
        if choice in (None, "none", "auto"):
            return None, None
        raise ApiError(
            "tool_choice would have no effect without tools: declare some, or leave it out",
            param="tool_choice",
        )
    tools = [tool.model_dump(exclude_none=True) for tool in asked]
    check_size("tools", count_characters(tools), settings.schema)
    names = [tool.function.name for tool in asked]
    for name in names:
        if names.count(name) > 1:
            raise ApiError(f"two tools are named {name!r}: rename one", param="tools")
    if choice == "none":
        return None, None
    if not isinstance(choice, NamedTool):
        return tools, "required" if choice == "required" else None
    named = choice.function.name
    if named not in names:
        raise ApiError(
            f"tool_choice names {named[:64]!r}, and the tools are {', '.join(names)}: name one "
            "of them",
            param="tool_choice",
        )
    if named == "required" and len(names) > 1:
        raise ApiError(
            "a tool that is named 'required' cannot be chosen by name: rename it",
            param="tool_choice",
        )
    return tools, named


def read_format(body: ChatBody, settings: Settings) -> Constraint | None:
    """What the whole answer must match. Raises ApiError."""
    wanted, given = body.response_format, None
    with naming((), otherwise=FORMAT):
        if isinstance(wanted, SchemaFormat):
            schema = wanted.json_schema.schema_
            check_size(FORMAT, count_characters(schema), settings.schema)
            given = JsonSchema(ANY_OBJECT if schema is None else schema)
        elif wanted is not None and not isinstance(wanted, PlainFormat):
            given = JsonSchema(ANY_OBJECT)
    with naming((), otherwise=constraint_field(body)):
        return read_constraint(body, given, settings, rival=FORMAT if given else None)
