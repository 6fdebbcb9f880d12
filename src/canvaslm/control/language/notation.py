"""How values are written: as JSON, or in Gemma's notation for the arguments of a tool call."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from canvaslm.control.language.letters import EVERY, Ranges, letters_of, members, minus, ranges
from canvaslm.control.language.nodes import (
    EMPTY,
    Control,
    Letters,
    Node,
    Text,
    chain,
    either,
    optional,
    repeat,
    spell,
)
from canvaslm.errors import ConstraintError
from canvaslm.text.controls import QUOTE

Whitespace = Literal["compact", "optional", "free"]

_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
_ESCAPED = ranges([(0, 0x1F), *letters_of('"\\')])
_UNNAMED = minus(((0, 0x1F),), letters_of("\b\t\n\f\r"))
_BARE_KEY = re.compile(r"[^\s{}\[\],:]([^{}\[\],:]*[^\s{}\[\],:])?")

FREE_LETTERS = minus(EVERY, _UNNAMED)
"""Characters of a string that nothing more is said of: all but nameless control characters."""


class Notation(Protocol):
    """One way to write values; the properties are the marks around and between them."""

    sorts_keys: bool
    one_free_key: bool

    @property
    def comma(self) -> Node: ...
    @property
    def colon(self) -> Node: ...
    def enclose(self, brackets: str, inside: Node) -> Node: ...
    def string(self, content: Node) -> Node: ...
    def key(self, content: Node) -> Node: ...
    @property
    def free_key(self) -> Node: ...


@dataclass(frozen=True)
class JsonNotation:
    """JSON with each character written in one way: raw, or the shortest escape where one is due.

    Whitespace "compact" puts none, "optional" lets one space follow each comma and colon, "free"
    lets any whitespace stand between values and marks.
    """

    whitespace: Whitespace = "optional"

    sorts_keys = False
    one_free_key = False  # readers of JSON let a later key replace an earlier one

    def __post_init__(self) -> None:
        if self.whitespace not in get_args(Whitespace):
            raise ConstraintError(
                f"whitespace must be one of {', '.join(get_args(Whitespace))},"
                f" got {self.whitespace!r}"
            )

    @property
    def comma(self) -> Node:
        return chain(self._around, ",", self._after)

    @property
    def colon(self) -> Node:
        return chain(self._around, ":", self._after)

    @property
    def _around(self) -> Node:
        free = self.whitespace == "free"
        return repeat(Letters(letters_of(" \t\n\r"))) if free else EMPTY

    @property
    def _after(self) -> Node:
        return optional(Text(" ")) if self.whitespace == "optional" else self._around

    def enclose(self, brackets: str, inside: Node) -> Node:
        return chain(brackets[0], self._around, inside, self._around, brackets[1])

    def string(self, content: Node) -> Node:
        if isinstance(content, Text):
            return Text(json.dumps(content.text, ensure_ascii=False))
        return chain('"', spell(content, _json_letter), '"')

    key = string

    @property
    def free_key(self) -> Node:
        return repeat(Letters(FREE_LETTERS))


@dataclass(frozen=True)
class CallNotation:
    """`{key:value}` with control tokens for quotes and bare keys in order, as the template writes.

    Its reader refuses a key that stands twice, so at most one key can be free.
    """

    sorts_keys = True
    one_free_key = True
    comma = Text(",")
    colon = Text(":")

    def enclose(self, brackets: str, inside: Node) -> Node:
        return chain(brackets[0], inside, brackets[1])

    def string(self, content: Node) -> Node:
        return chain(Control(QUOTE), content, Control(QUOTE))

    def key(self, content: Node) -> Node:
        if isinstance(content, Text) and not _BARE_KEY.fullmatch(content.text):
            return self.string(content)
        return content

    @property
    def free_key(self) -> Node:
        start = ranges([(ord("A"), ord("Z")), (ord("_"), ord("_")), (ord("a"), ord("z"))])
        return chain(Letters(start), repeat(Letters(ranges([*start, (ord("0"), ord("9"))]))))


def literal(value: Any, notation: Notation) -> Node:
    """`value` itself: None, a bool, a number, a string, a list or a dict of such."""
    if isinstance(value, str):
        return notation.string(Text(value))
    if isinstance(value, list):
        return notation.enclose("[]", _join([literal(v, notation) for v in value], notation))
    if isinstance(value, dict):
        keys = sorted(value, key=str.lower) if notation.sorts_keys else value
        members = [
            chain(notation.key(Text(key)), notation.colon, literal(value[key], notation))
            for key in keys
        ]
        return notation.enclose("{}", _join(members, notation))
    return Text(json.dumps(value))


def _join(parts: list[Node], notation: Notation) -> Node:
    return chain(*(p for part in parts for p in (notation.comma, part)[part is parts[0] :]))


def _json_letter(some: Ranges) -> Node:
    plain = minus(some, _ESCAPED)
    escaped = minus(some, minus(EVERY, _ESCAPED))
    named = (_SHORT.get(chr(p), f"\\u{p:04x}") for p in members(escaped))
    return either([*([Letters(plain)] if plain else []), *named])
