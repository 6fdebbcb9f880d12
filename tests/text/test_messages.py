"""Conversations are checked and brought to one form."""

import pytest

from canvaslm.errors import ParameterError, TemplateError
from canvaslm.text.messages import Conversation

USER = {"role": "user", "content": "hi"}


def parse_one(message: object) -> dict:
    return Conversation.parse([USER, message]).messages[1]


@pytest.mark.parametrize("messages", ["hi", b"hi", USER, None, 3, {USER["role"]}])
def test_what_is_no_list_of_messages_is_refused(messages):
    with pytest.raises(ParameterError, match="expected a list"):
        Conversation.parse(messages)


def test_no_messages_are_refused():
    with pytest.raises(ParameterError, match="empty"):
        Conversation.parse([])


REFUSED = [
    ("hi", r"messages\[1\] is a str"),
    ({"content": "hi"}, r"messages\[1\] has the role None"),
    ({"role": "root", "content": "hi"}, "role 'root', expected one of system"),
    ({"role": ["user"], "content": "hi"}, r"role \['user'\]"),
    ({"role": "user"}, r"messages\[1\] \(role 'user'\) has no content"),
    ({"role": "user", "content": None}, "has no content"),
    ({"role": "user", "content": 3}, "content of type int"),
    ({"role": "user", "content": ["hi"]}, "part 0 is str"),
    ({"role": "user", "content": [{"text": "hi"}]}, "part 0 .* type None"),
    ({"role": "user", "content": [{"type": "smell"}]}, "type 'smell'"),
    ({"role": "user", "content": [{"type": ["text"]}]}, "type"),
    ({"role": "user", "content": [{"type": "text", "text": 3}]}, "no text"),
    ({"role": "assistant", "tool_calls": "look()"}, "tool_calls of type str"),
    ({"role": "assistant", "tool_calls": [{"name": "look"}]}, "tool call 0 names no function"),
    ({"role": "assistant", "tool_calls": [{"function": {"name": 3}}]}, "names no function"),
    (
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "a:1"}}]},
        "no JSON object",
    ),
    (
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]},
        "no JSON object",
    ),
]


@pytest.mark.parametrize(("message", "reason"), REFUSED)
def test_a_message_that_cannot_be_used_is_named(message, reason):
    with pytest.raises(TemplateError, match=reason):
        parse_one(message)


@pytest.mark.parametrize("tools", [[3], [{}], [{"function": {}}], [{"name": "f"}]])
def test_a_tool_without_function_is_refused(tools):
    with pytest.raises(TemplateError, match=r"tools\[0\]"):
        Conversation.parse([USER], tools=tools)


def test_keys_without_value_are_left_out():
    message = {"role": "assistant", "content": "hi", "tool_calls": None, "name": None}
    assert parse_one(message) == {"role": "assistant", "content": "hi"}


def test_arguments_given_as_json_become_a_mapping():
    def arguments(value: object) -> object:
        call = {"id": "1", "function": {"name": "f", "arguments": value}}
        parsed = parse_one({"role": "assistant", "content": None, "tool_calls": [call]})
        return parsed["tool_calls"][0]["function"]["arguments"]

    assert arguments('{"a": [1]}') == {"a": [1]}
    assert arguments({"a": [1]}) == {"a": [1]}
    assert arguments("") == arguments(None) == {}


def test_text_parts_of_a_system_message_become_one_string():
    parts = [{"type": "text", "text": "be "}, {"type": "text", "text": "brief"}]
    assert parse_one({"role": "system", "content": parts})["content"] == "be brief"
    assert parse_one({"role": "user", "content": parts})["content"] == parts


def test_parsing_changes_nothing_it_is_given():
    call = {"function": {"name": "f", "arguments": '{"a": 1}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    parse_one(message)
    assert message["content"] is None
    assert call["function"]["arguments"] == '{"a": 1}'


def test_text_is_mapped_everywhere_but_in_roles():
    function = {"name": "f", "arguments": {"k": ["v", {"w": 1}]}}
    conversation = Conversation.parse(
        [
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "x"}],
                "tool_calls": [{"function": function}],
            }
        ],
        tools=[{"function": {"name": "f", "parameters": {"type": "object"}}}],
    )
    seen = []
    mapped = conversation.map_text(
        lambda text, in_answer: seen.append((text, in_answer)) or text.upper()
    )
    assert mapped.messages[0]["role"] == "assistant"
    assert mapped.messages[0]["tool_calls"][0]["FUNCTION"]["ARGUMENTS"] == {"K": ["V", {"W": 1}]}
    assert ("x", True) in seen
    assert ("v", False) in seen
    assert ("object", False) in seen


def test_media_are_listed():
    parts = [{"type": "text", "text": "see"}, {"type": "image"}]
    assert Conversation.parse([{"role": "user", "content": parts}]).media() == ["image"]
    assert Conversation.parse([USER]).media() == []
