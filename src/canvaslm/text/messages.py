"""A conversation, checked before a template sees it: roles, contents, tool calls and tools."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from canvaslm.errors import ParameterError, TemplateError

Message = Mapping[str, Any]

ROLES = ("system", "developer", "user", "assistant", "model", "tool")
PARTS = ("text", "image", "audio", "video")
MAX_MESSAGES = 100_000


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """Messages and tools in the one form every template understands; made by `parse`."""

    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...] = ()

    @classmethod
    def parse(
        cls, messages: Sequence[Message], *, tools: Sequence[Mapping[str, Any]] | None = None
    ) -> Conversation:
        """Check `messages` and `tools`, and bring them to one form.

        Keys whose value is None are left out. The text parts of a system message become one
        string, and tool-call arguments given as JSON text become a mapping: templates print both
        raw otherwise. Raises ParameterError for a wrong type of the whole, TemplateError naming
        the message or tool that cannot be used.
        """
        _check_list(messages, "messages", expected="a list of mappings with role and content")
        _check_list(tools if tools is not None else (), "tools", expected="a list of mappings")
        if not messages:
            raise ParameterError("messages is empty: give at least one message")
        if len(messages) > MAX_MESSAGES:
            raise ParameterError(f"got {len(messages)} messages: give at most {MAX_MESSAGES}")
        return cls(
            messages=tuple(_parse_message(m, f"messages[{i}]") for i, m in enumerate(messages)),
            tools=tuple(_parse_tool(tool, f"tools[{i}]") for i, tool in enumerate(tools or ())),
        )

    def media(self) -> list[str]:
        """Kinds of content other than text, in order of appearance."""
        contents = (m["content"] for m in self.messages if isinstance(m.get("content"), list))
        return [part["type"] for content in contents for part in content if part["type"] != "text"]

    def map_text(self, change: Callable[[str, bool], str]) -> Conversation:
        """A copy with every string but roles replaced by `change(text, in_answer)`.

        `in_answer` says that the text is content of one of the model's own messages.
        """
        return Conversation(
            messages=tuple(_map_message(message, change) for message in self.messages),
            tools=tuple(_map_strings(tool, change, in_answer=False) for tool in self.tools),
        )


def _map_message(message: Message, change: Callable[[str, bool], str]) -> dict[str, Any]:
    own = message["role"] in ("assistant", "model")
    return {
        key: value
        if key == "role"
        else _map_strings(value, change, in_answer=own and key == "content")
        for key, value in message.items()
    }


def _map_strings(value: Any, change: Callable[[str, bool], str], *, in_answer: bool) -> Any:
    if isinstance(value, str):
        return change(value, in_answer)
    if isinstance(value, Mapping):
        return {
            _map_strings(key, change, in_answer=in_answer): _map_strings(
                item, change, in_answer=in_answer
            )
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_map_strings(item, change, in_answer=in_answer) for item in value]
    return value


def _check_list(value: object, name: str, *, expected: str) -> None:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
        raise ParameterError(f"{name} is a {type(value).__name__}, expected {expected}")


def _parse_message(message: Message, where: str) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        raise TemplateError(
            f"{where} is a {type(message).__name__}, expected a mapping with role and content"
        )
    parsed = {key: value for key, value in message.items() if value is not None}
    role = parsed.get("role")
    if role not in ROLES:
        raise TemplateError(f"{where} has the role {role!r}, expected one of {', '.join(ROLES)}")
    where = f"{where} (role {role!r})"
    if "tool_calls" in parsed:
        parsed["tool_calls"] = _parse_calls(parsed["tool_calls"], where)
    if "content" in parsed:
        parsed["content"] = _parse_content(parsed["content"], role, where)
    elif not (parsed.get("tool_calls") or parsed.get("tool_responses")):
        raise TemplateError(f"{where} has no content: give a string or a list of parts")
    return parsed


def _parse_content(content: object, role: str, where: str) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    if not isinstance(content, list | tuple):
        raise TemplateError(
            f"{where} has content of type {type(content).__name__}, expected a string or a list of"
            ' parts such as {"type": "text", "text": "..."}'
        )
    parts = [_parse_part(part, f"{where}, part {i}") for i, part in enumerate(content)]
    if role in ("system", "developer") and all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _parse_part(part: object, where: str) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if not isinstance(part, Mapping) or kind not in PARTS:
        raise TemplateError(
            f"{where} is {type(part).__name__} with type {kind!r}, expected a mapping whose type"
            f" is one of {', '.join(PARTS)}"
        )
    if kind == "text" and not isinstance(part.get("text"), str):
        raise TemplateError(f"{where} has no text: a text part holds a string under 'text'")
    return dict(part)


def _parse_calls(calls: object, where: str) -> list[dict[str, Any]]:
    if not isinstance(calls, list | tuple):
        raise TemplateError(f"{where} has tool_calls of type {type(calls).__name__}, not a list")
    return [_parse_call(call, f"{where}, tool call {i}") for i, call in enumerate(calls)]


def _parse_call(call: object, where: str) -> dict[str, Any]:
    if not isinstance(call, Mapping) or (function := _read_function(call)) is None:
        raise TemplateError(
            f'{where} names no function, expected {{"function": {{"name": ..., "arguments": ...}}}}'
        )
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        arguments = _parse_json(arguments)
    if not isinstance(arguments, Mapping | None):
        raise TemplateError(
            f"{where} ({function['name']}) has arguments that are no JSON object: give a mapping,"
            " or the JSON text of one"
        )
    return {**call, "function": {**function, "arguments": dict(arguments or {})}}


def _read_function(owner: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The function that a call or a tool names, if it does."""
    function = owner.get("function")
    named = isinstance(function, Mapping) and isinstance(function.get("name"), str)
    return function if named else None


def _parse_json(text: str) -> object:
    try:
        return json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        return text


def _parse_tool(tool: object, where: str) -> dict[str, Any]:
    if not isinstance(tool, Mapping) or _read_function(tool) is None:
        raise TemplateError(
            f'{where} declares no function, expected {{"type": "function", "function":'
            ' {"name": ..., "description": ..., "parameters": {...}}}'
        )
    return dict(tool)
