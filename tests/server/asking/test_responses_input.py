"""Input items become the messages that a chat would have."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from canvaslm.server.asking.responses import chat_fields
from canvaslm.server.asking.responses_input import read_items
from canvaslm.server.errors import ApiError
from canvaslm.server.schema.chat import ChatBody
from canvaslm.server.schema.responses import ResponsesBody


def messages_of(items: Any, *, instructions: str | None = None) -> list[dict[str, Any]]:
    body = ResponsesBody.model_validate({"input": items, "instructions": instructions})
    return read_items(body.input, instructions=body.instructions)


def call(id: str, name: str, arguments: str = "{}") -> dict[str, Any]:
    return {"type": "function_call", "call_id": id, "name": name, "arguments": arguments}


def output(id: str, text: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": id, "output": text}


def said(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def test_a_text_is_what_the_user_says() -> None:
    assert messages_of("Hi") == [said("user", "Hi")]


def test_instructions_lead_and_are_one_message() -> None:
    items = [said("developer", "b"), said("system", "c"), said("user", "d"), said("system", "e")]
    assert messages_of(items, instructions="a") == [
        said("system", "a\n\nb\n\nc"),
        said("user", "d"),
        said("system", "e"),
    ]


def test_parts_are_joined() -> None:
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]
    answer = [{"type": "output_text", "text": "c"}, {"type": "refusal", "refusal": "d"}]
    items = [said("user", parts), {"type": "message", **said("assistant", answer)}]
    assert messages_of(items) == [said("user", "ab"), said("assistant", "cd")]


def test_a_cache_breakpoint_changes_nothing() -> None:
    part = {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}}
    assert messages_of([said("user", [part])]) == [said("user", "a")]


def test_a_turn_of_the_model_is_one_message() -> None:
    items = [
        said("user", "Both, please"),
        {"type": "reasoning", "id": "rs_1", "summary": []},
        said("assistant", "Sure."),
        call("c1", "f", '{"a": 1}'),
        call("c2", "g"),
        output("c2", "two"),
        output("c1", "one"),
        call("c3", "f"),
        output("c3", "three"),
    ]
    found = messages_of(items)
    assert [message["role"] for message in found] == [
        *("user", "assistant", "tool", "tool", "assistant", "tool")
    ]
    assert found[1]["content"] == "Sure."
    assert [made["id"] for made in found[1]["tool_calls"]] == ["c1", "c2"]
    assert [(m["tool_call_id"], m["name"], m["content"]) for m in found[2:4]] == [
        ("c2", "g", "two"),
        ("c1", "f", "one"),
    ]
    assert found[4]["content"] == ""


@pytest.mark.parametrize(
    "arguments", ["[]", "3", "{", '{"a": NaN}', '{"a": "\\ud800"}', "[" * 9999]
)
def test_arguments_must_be_an_object(arguments: str) -> None:
    with pytest.raises(ApiError) as caught:
        messages_of([said("user", "Hi"), call("c", "f", arguments)])
    assert caught.value.param == "input.1.arguments"


ITEMS = st.lists(
    st.builds(said, st.sampled_from(["user", "assistant", "system", "developer"]), st.text())
    | st.builds(call, st.sampled_from("ab"), st.sampled_from("fg"))
    | st.builds(output, st.sampled_from("ab"), st.text())
    | st.just({"type": "reasoning", "summary": [], "content": None}),
    min_size=1,
    max_size=12,
)


@given(items=ITEMS)
def test_nothing_that_was_said_is_lost(items: list[dict[str, Any]]) -> None:
    try:
        found = messages_of(items)
    except (ApiError, ValidationError):
        return
    told = json.dumps(found)
    for item in items:
        text = item.get("content") or item.get("output") or item.get("name") or ""
        assert json.dumps(text)[1:-1] in told
    calls = [made for message in found for made in message.get("tool_calls", ())]
    assert len(calls) == sum(item.get("type") == "function_call" for item in items)


@given(items=ITEMS)
def test_a_chat_takes_what_a_response_takes(items: list[dict[str, Any]]) -> None:
    try:
        fields = chat_fields(ResponsesBody.model_validate({"input": items}))
    except (ApiError, ValidationError):
        return
    ChatBody.model_validate(fields)
