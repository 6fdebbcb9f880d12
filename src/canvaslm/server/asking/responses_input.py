"""The input of a response as the messages of a chat."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from canvaslm.server.errors import ApiError
from canvaslm.server.schema.chat import MOST_TOOLS
from canvaslm.server.schema.common import check_plain
from canvaslm.server.schema.response_input import (
    GivenCall,
    GivenMessage,
    GivenOutput,
    GivenReasoning,
    GivenRefusal,
    InputItem,
    Part,
)

Message = dict[str, Any]


def read_input(given: str | Sequence[InputItem], *, instructions: str | None) -> list[Message]:
    """The messages that `instructions` and the items make.

    A call joins the message that the model said before it, as both were one turn. Thoughts are left
    out: models of this kind never see their own again. Raises ApiError for arguments that are no
    JSON object, an output without its call, and input without any message.
    """
    messages = Messages()
    if instructions is not None:
        messages.add("system", instructions)
    if isinstance(given, str):
        messages.add("user", given)
        return messages.made
    for place, item in enumerate(given):
        match item:
            case GivenMessage():
                messages.add(item.role, text_of(item.content))
            case GivenCall():
                messages.call(item, place)
            case GivenOutput():
                messages.output(item, place)
            case GivenReasoning():
                messages.turn()
    if not messages.made:
        raise ApiError("input holds thoughts only: give at least one message", param="input")
    return messages.made


def text_of(content: str | Sequence[Part]) -> str:
    """The text of all parts."""
    if isinstance(content, str):
        return content
    return "".join(p.refusal if isinstance(p, GivenRefusal) else p.text for p in content)


class Messages:
    """Messages on their way. `made` are those so far."""

    def __init__(self) -> None:
        self.made: list[Message] = []
        self._names: dict[str, str] = {}
        self._own: Message | None = None  # the model's turn, while it goes on

    def turn(self) -> None:
        """A new turn begins."""
        self._own = None

    def add(self, role: str, text: str) -> None:
        """Somebody says something; instructions at the beginning are one message."""
        leads = all(message["role"] == "system" for message in self.made)
        role = "system" if role == "developer" else role
        if role == "system" and leads and self.made:
            self.made[0]["content"] += f"\n\n{text}"
            return
        message = {"role": role, "content": text}
        self.made.append(message)
        self._own = message if role == "assistant" else None

    def call(self, item: GivenCall, place: int) -> None:
        """The model calls a function."""
        if self._own is None or len(self._own.get("tool_calls", ())) == MOST_TOOLS:
            self._own = {"role": "assistant", "content": ""}
            self.made.append(self._own)
        check_arguments(item, place)
        function = {"name": item.name, "arguments": item.arguments}
        call = {"id": item.call_id, "type": "function", "function": function}
        self._own.setdefault("tool_calls", []).append(call)
        self._names[item.call_id] = item.name

    def output(self, item: GivenOutput, place: int) -> None:
        """What a function gave back."""
        name = self._names.get(item.call_id)
        if name is None:
            raise ApiError(
                f"input.{place}.call_id is {item.call_id[:40]!r}, and no call before it has that "
                "id: give the function_call item, too",
                param=f"input.{place}.call_id",
            )
        said = {"tool_call_id": item.call_id, "name": name, "content": text_of(item.output)}
        self.made.append({"role": "tool", **said})
        self._own = None


def check_arguments(item: GivenCall, place: int) -> None:
    """Raise ApiError for arguments that are no JSON object."""
    try:
        arguments = json.loads(item.arguments or "{}")
        check_plain(arguments)
    except (ValueError, RecursionError, ApiError):
        arguments = None
    if not isinstance(arguments, dict):
        raise ApiError(
            f"input.{place}.arguments is not the JSON text of an object: give one",
            param=f"input.{place}.arguments",
        )
