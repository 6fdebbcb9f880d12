"""The output items of a response, and the events in which each of them comes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from canvaslm.server.telling.chat import arguments_text
from canvaslm.text.spans import ToolCall

Json = dict[str, Any]
Status = Literal["in_progress", "completed", "incomplete"]


class Tell(Protocol):
    """Takes the type and the fields of an event."""

    def __call__(self, kind: str, /, **fields: object) -> None: ...


@dataclass(kw_only=True, eq=False)
class Item:
    """An item on its way. `status` is None until its end has been told."""

    prefix: ClassVar[str]
    index: int
    id: str
    tell: Tell
    status: Status | None = None

    def begin(self) -> None:
        self.tell("response.output_item.added", output_index=self.index, item=self.empty())

    def end(self, status: Status) -> None:
        self.status = status
        self.tell("response.output_item.done", output_index=self.index, item=self.show())

    def empty(self) -> Json:
        """The item before anything is in it."""
        raise NotImplementedError

    def show(self, unfinished: Status = "in_progress") -> Json:
        """The item as it stands; `unfinished` is the status of one whose end was not told."""
        raise NotImplementedError


@dataclass(kw_only=True, eq=False)
class Texts(Item):
    """An item with one part of text, which comes in pieces."""

    event: ClassVar[str]
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def begin(self) -> None:
        super().begin()
        self._tell("response.content_part.added", part=self.part())

    def add(self, text: str) -> None:
        """More of the text."""
        self.pieces.append(text)
        self._tell(f"{self.event}.delta", delta=text, **self.extra(done=False))

    def end(self, status: Status) -> None:
        self._tell(f"{self.event}.done", text=self.text, **self.extra(done=True))
        self._tell("response.content_part.done", part=self.part())
        super().end(status)

    def _tell(self, kind: str, /, **fields: object) -> None:
        where = {"item_id": self.id, "output_index": self.index, "content_index": 0}
        self.tell(kind, **where, **fields)

    def extra(self, *, done: bool) -> Json:
        """Further fields of the text's events."""
        return {}

    def part(self) -> Json:
        """The part as it stands."""
        raise NotImplementedError


@dataclass(kw_only=True, eq=False)
class Message(Texts):
    """Text of the answer, with the log-probabilities of its tokens where they were asked for."""

    prefix = "msg"
    event = "response.output_text"
    logprobs: list[Json] = field(default_factory=list)

    def extra(self, *, done: bool) -> Json:
        return {"logprobs": self.logprobs if done else []}

    def part(self) -> Json:
        made = {"type": "output_text", "text": self.text, "annotations": []}
        return {**made, "logprobs": self.logprobs}

    def empty(self) -> Json:
        return {**self.show(), "content": []}

    def show(self, unfinished: Status = "in_progress") -> Json:
        return {
            "type": "message",
            "id": self.id,
            "role": "assistant",
            "status": self.status or unfinished,
            "content": [self.part()],
        }


@dataclass(kw_only=True, eq=False)
class Reasoning(Texts):
    """A thought, whole: there is no summary of it."""

    prefix = "rs"
    event = "response.reasoning_text"

    def part(self) -> Json:
        return {"type": "reasoning_text", "text": self.text}

    def empty(self) -> Json:
        return {**self.show(), "content": []}

    def show(self, unfinished: Status = "in_progress") -> Json:
        return {
            "type": "reasoning",
            "id": self.id,
            "status": self.status or unfinished,
            "summary": [],
            "content": [self.part()],
        }


@dataclass(kw_only=True, eq=False)
class Call(Item):
    """A call of a function; its arguments come in one piece, as they are read when it closes."""

    prefix = "fc"
    call_id: str
    call: ToolCall

    @property
    def arguments(self) -> str:
        """The arguments as JSON text."""
        return arguments_text(self.call)

    def add_arguments(self) -> None:
        """Tell the arguments, all of them."""
        where: Json = {"item_id": self.id, "output_index": self.index}
        self.tell("response.function_call_arguments.delta", delta=self.arguments, **where)
        self.tell(
            "response.function_call_arguments.done",
            name=self.call.name,
            arguments=self.arguments,
            **where,
        )

    def empty(self) -> Json:
        return {**self.show(), "arguments": ""}

    def show(self, unfinished: Status = "in_progress") -> Json:
        return {
            "type": "function_call",
            "id": self.id,
            "call_id": self.call_id,
            "name": self.call.name,
            "arguments": self.arguments,
            "status": self.status or unfinished,
        }
