"""Results of tools where a template wants them: in the message of the calls they answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from canvaslm.text.messages import Conversation


def fold_results(conversation: Conversation) -> Conversation:
    """Messages of the role "tool" become `tool_responses` of the assistant's message before them,
    and the assistant's text after them becomes its content.

    A result that is the text of a JSON object is given as that object. Its name is the called
    function's, found by `tool_call_id`, or its own `name`.
    """
    made: list[dict[str, Any]] = []
    for message in conversation.messages:
        last = made[-1] if made else {}
        if message["role"] == "tool" and "tool_calls" in last and "content" not in last:
            own = {"name": name_of(message, last), "response": response_of(message.get("content"))}
            made[-1] = {**last, "tool_responses": [*last.get("tool_responses", ()), own]}
        elif goes_on(message, last):
            made[-1] = {**last, "content": message["content"]}
        else:
            made.append(message)
    return replace(conversation, messages=tuple(made))


def goes_on(message: Mapping[str, Any], last: Mapping[str, Any]) -> bool:
    """Whether a message is what the model said to the results in `last`, in the same turn."""
    plain = message["role"] in ("assistant", "model") and set(message) <= {"role", "content"}
    answered = "tool_calls" in last and "tool_responses" in last and "content" not in last
    return plain and answered


def name_of(message: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """The function that a result is of."""
    for call in asked["tool_calls"]:
        if call.get("id") is not None and call["id"] == message.get("tool_call_id"):
            return str(call["function"]["name"])
    only = asked["tool_calls"][0]["function"]["name"] if len(asked["tool_calls"]) == 1 else ""
    return str(message.get("name") or only or "unknown")


def response_of(content: object) -> object:
    """A result as the template writes it: an object, or a text."""
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content)
    try:
        parsed = json.loads(content) if isinstance(content, str) else content
    except (ValueError, RecursionError):
        return content
    return parsed if isinstance(parsed, dict) else content
