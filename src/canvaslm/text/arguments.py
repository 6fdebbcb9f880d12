"""Gemma's notation for tool-call arguments, read into JSON values."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

MAX_DEPTH = 64

_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_WORDS: dict[str, Json] = {"true": True, "false": False, "null": None, "None": None}
_MARKS = frozenset("{}[],:")


@dataclass(frozen=True)
class _Quoted:
    """A string between two `<|"|>`; any character may stand in it."""

    text: str


_Symbol = str | _Quoted


def parse_arguments(pieces: Sequence[str]) -> dict[str, Json]:
    """Read `{key:value,...}`; `pieces` is the text cut at every `<|"|>` token.

    So pieces 1, 3, 5 ... are the strings. A value is one of those, a number, true, false, null,
    `[value,...]` or `{key:value,...}`; keys stand bare or as strings, and any other bare value is
    taken as a string, for models leave the quotes out at times. Raises ValueError saying what
    does not fit the notation, or that a value is more than MAX_DEPTH levels deep.
    """
    if len(pieces) % 2 == 0:
        raise ValueError("a string has no closing quote")
    reader = _Reader(pieces)
    arguments = reader.read_object(depth=0)
    if (rest := reader.take()) is not None:
        raise ValueError(f"{_show(rest)} follows the closing brace")
    return arguments


class _Reader:
    """Recursive descent over the marks, bare words and strings of one notation."""

    def __init__(self, pieces: Sequence[str]) -> None:
        symbols: list[_Symbol] = []
        for n, piece in enumerate(pieces):
            symbols += [_Quoted(piece)] if n % 2 else _split_marks(piece)
        self._symbols = iter([*symbols, None])
        self._next: _Symbol | None = next(self._symbols)

    def take(self) -> _Symbol | None:
        """The next symbol, None at the end."""
        symbol, self._next = self._next, next(self._symbols, None)
        return symbol

    def _expect(self, mark: str, *, after: str) -> None:
        if (symbol := self.take()) != mark:
            raise ValueError(f"{_show(symbol)} stands where {mark!r} must follow {after}")

    def read_object(self, *, depth: int) -> dict[str, Json]:
        self._expect("{", after="the name")
        members: dict[str, Json] = {}
        while self._next != "}":
            if members:
                self._expect(",", after="a value")
            key = self.take()
            text = key.text if isinstance(key, _Quoted) else key
            if text is None or (text is key and text in _MARKS):
                raise ValueError(f"{_show(key)} stands where a key must be")
            if text in members:
                raise ValueError(f"the key {text!r} appears twice")
            self._expect(":", after=f"the key {text!r}")
            members[text] = self._read_value(depth=depth + 1)
        self.take()
        return members

    def _read_list(self, *, depth: int) -> list[Json]:
        self._expect("[", after="a key")
        items: list[Json] = []
        while self._next != "]":
            if items:
                self._expect(",", after="an item")
            items.append(self._read_value(depth=depth + 1))
        self.take()
        return items

    def _read_value(self, *, depth: int) -> Json:
        if depth > MAX_DEPTH:
            raise ValueError(f"values lie more than {MAX_DEPTH} levels deep")
        if self._next == "{":
            return self.read_object(depth=depth)
        if self._next == "[":
            return self._read_list(depth=depth)
        symbol = self.take()
        if isinstance(symbol, _Quoted):
            return symbol.text
        if symbol is None or symbol in _MARKS:
            raise ValueError(f"{_show(symbol)} stands where a value must be")
        return _read_bare(symbol)


def _split_marks(text: str) -> list[_Symbol]:
    parts = (part.strip() for part in re.split(r"([{}\[\],:])", text))
    return [part for part in parts if part]


def _read_bare(word: str) -> Json:
    if word in _WORDS:
        return _WORDS[word]
    if not _NUMBER.fullmatch(word):
        return word
    try:
        number: int | float = json.loads(word)
    except ValueError:  # leading zeros, or more digits than Python reads
        return word
    return number if math.isfinite(number) else word


def _show(symbol: _Symbol | None) -> str:
    if symbol is None:
        return "the end"
    return repr(symbol.text if isinstance(symbol, _Quoted) else symbol)
