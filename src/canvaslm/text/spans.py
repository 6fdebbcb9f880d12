"""Tells thoughts and tool calls from the answer while token ids stream in."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from canvaslm.text.arguments import Json, parse_arguments
from canvaslm.text.controls import (
    CHANNEL,
    CHANNEL_END,
    QUOTE,
    TOOL_CALL,
    TOOL_CALL_END,
    TURN_END,
)
from canvaslm.text.detokenize import Stream
from canvaslm.text.tokenizer import Tokenizer

_CHANNEL_NAME = re.compile(r"(\w{1,32})\n")
_NAME_SO_FAR = re.compile(r"\w{0,32}")
_CALL_HEAD = re.compile(r"\s*call:\s*([^\s{}]+)\s*")


@dataclass(frozen=True)
class Answer:
    """More text of the answer."""

    text: str


@dataclass(frozen=True)
class Thought:
    """More text of a thought; `channel` is "thought", or "" where the model named none."""

    text: str
    channel: str = "thought"


@dataclass(frozen=True)
class ToolCall:
    """A whole tool call; the arguments are JSON values."""

    name: str
    arguments: dict[str, Json]


@dataclass(frozen=True)
class Broken:
    """A thought or tool call that did not end, or a call that cannot be read, and why.

    `text` is what no other span has given: of a call all of it, control tokens spelled out; of a
    thought at most its beginning, as its text has been given before.
    """

    kind: Literal["thought", "tool_call"]
    text: str
    reason: str


Span = Answer | Thought | ToolCall | Broken


class SpanReader:
    """A state machine over token ids: answer, thought or tool call, until the turn ends.

    Texts come as soon as their characters are whole, tool calls when they close. Everything before
    the end of the turn is in exactly one span, in order, save control tokens outside tool calls. A
    vocabulary without the control tokens gives answers only.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._channel = tokenizer.token_id(CHANNEL)
        self._call = tokenizer.token_id(TOOL_CALL)
        self._ends = frozenset({tokenizer.token_id(TURN_END), *tokenizer.eos_ids})
        self._part: _Part = _AnswerPart(tokenizer)
        self.ended = False

    def push(self, ids: Iterable[int]) -> list[Span]:
        """The spans, or more of them, that `ids` give. What follows the end of the turn is not
        part of the answer and is not read.
        """
        spans: list[Span] = []
        for id in ids:
            if self.ended:
                break
            spans += self._step(id)
        return spans + self._part.drain()

    def finish(self) -> list[Span]:
        """What is left when no more ids come; an open thought or tool call is given as Broken."""
        return self._leave("the text ends")

    def fork(self) -> SpanReader:
        """One that goes on from here on its own."""
        return copy.deepcopy(self, {id(self._tokenizer): self._tokenizer})

    def _step(self, id: int) -> list[Span]:
        if id == self._part.closer:
            return self._leave(None)
        if id == self._channel:
            return self._leave(f"{CHANNEL} comes", _ThoughtPart(self._tokenizer))
        if id == self._call:
            return self._leave(f"{TOOL_CALL} comes", _CallPart(self._tokenizer))
        if id in self._ends:
            self.ended = True
            return self._leave("the turn ends")
        self._part.ids.append(id)
        return []

    def _leave(self, interruption: str | None, part: _Part | None = None) -> list[Span]:
        spans = self._part.close(interruption)
        self._part = part or _AnswerPart(self._tokenizer)
        return spans


class _AnswerPart:
    """What the ids belong to now; `close` is told what broke in, None where the closer came."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.closer: int | None = None
        self.ids: list[int] = []
        self._stream = Stream(tokenizer)

    def drain(self) -> list[Span]:
        return self._give(self._take())

    def close(self, interruption: str | None) -> list[Span]:
        return self._give(self._take() + self._stream.flush())

    def _give(self, text: str) -> list[Span]:
        return [Answer(text)] if text else []

    def _take(self) -> str:
        text = self._stream.push(self.ids)
        self.ids.clear()
        return text


class _ThoughtPart(_AnswerPart):
    """Text behind a first line that names the channel."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer)
        self.closer = tokenizer.token_id(CHANNEL_END)
        self._head = ""
        self._name: str | None = None

    def close(self, interruption: str | None) -> list[Span]:
        spans = super().close(interruption)
        if interruption is None:
            return spans
        reason = f"{interruption} before the thought is closed"
        return [*spans, Broken("thought", self._head, reason)]

    def _give(self, text: str) -> list[Span]:
        if self._name is None:
            self._head += text
            text = self._split_head()
        return [Thought(text, self._name or "")] if text else []

    def _split_head(self) -> str:
        """The text behind the channel's name, "" while the name may still go on."""
        head = self._head
        if _NAME_SO_FAR.fullmatch(head):
            return ""
        named = _CHANNEL_NAME.match(head)
        self._name, self._head = named[1] if named else "", ""
        return head[named.end() :] if named else head


class _CallPart:
    """Ids kept until the call is closed, as its quotes are tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.ids: list[int] = []
        self.closer = tokenizer.token_id(TOOL_CALL_END)
        self._tokenizer = tokenizer

    def drain(self) -> list[Span]:
        return []

    def close(self, interruption: str | None) -> list[Span]:
        if interruption is None:
            try:
                return [_read_call(self._cut_at_quotes())]
            except ValueError as failure:
                reason = f"its text is no call: {failure}"
        else:
            reason = f"{interruption} before the call is closed"
        return [Broken("tool_call", self._tokenizer.decode(self.ids, special=True), reason)]

    def _cut_at_quotes(self) -> list[str]:
        quote = self._tokenizer.token_id(QUOTE)
        pieces: list[list[int]] = [[]]
        for id in self.ids:
            if id == quote:
                pieces.append([])
            else:
                pieces[-1].append(id)
        return [self._tokenizer.decode(piece, special=True) for piece in pieces]


_Part = _AnswerPart | _CallPart


def _read_call(pieces: list[str]) -> ToolCall:
    """`call:name{key:value,...}`, cut at its quotes. Raises ValueError where it is none."""
    head, brace, rest = pieces[0].partition("{")
    named = _CALL_HEAD.fullmatch(head)
    if named is None:
        raise ValueError(f"it begins with {head!r}, expected call:name")
    return ToolCall(named[1], parse_arguments([brace + rest, *pieces[1:]]))
