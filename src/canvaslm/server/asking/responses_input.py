"""The input of a response as the messages of a chat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from canvaslm.server.asking.calls import name_of, read_arguments
from canvaslm.server.errors import ApiError
from canvaslm.server.schema.chat import MOST_TOOLS
from canvaslm.server.schema.parts import GivenRefusal
from canvaslm.server.schema.response_input import (
    GivenCall,
    GivenMessage,
    GivenOutput,
    GivenReasoning,
    InputItem,
    Part,
)

Message = dict[str, Any]


def read_items(given: str | Sequence[InputItem], *, instructions: str | None) -> list[Message]:
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
        read_arguments(item.arguments, place=place)
        function = {"name": item.name, "arguments": item.arguments}
        call = {"id": item.call_id, "type": "function", "function": function}
        self._own.setdefault("tool_calls", []).append(call)
        self._names[item.call_id] = item.name

    def output(self, item: GivenOutput, place: int) -> None:
        """What a function gave back."""
        name = name_of(item.call_id, self._names, place=place)
        said = {"tool_call_id": item.call_id, "name": name, "content": text_of(item.output)}
        self.made.append({"role": "tool", **said})
        self._own = None
