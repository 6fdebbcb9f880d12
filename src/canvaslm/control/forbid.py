"""Words that an answer must not contain, however it is cut into tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import NamedTuple

from canvaslm.control.words import Finder, Words

# L canvas


@dataclass(frozen=True, kw_only=True, eq=False)
class Lexicon:
    """What is forbidden, and what has to be known of the vocabulary to find it.

    text      forbidden bytes, None where there are none
    ids       forbidden sequences of token ids, None where there are none
    read      the bytes that a token writes, b"" for a control token
    asides    control tokens that open a thought or a tool call, each with the one that closes it
    """

    text: Words | None
    ids: Words | None
    read: Callable[[int], bytes]
    asides: Mapping[int, int]


class Hit(NamedTuple):
    """A forbidden word: its first and last token; -1 stands for all before the canvas."""

    first: int
    last: int


class Search:
    """A place in an answer, and the beginnings of forbidden words that stand right before it.

    Text is searched twice: all of it, and the answer without its thoughts and tool calls, whose
    pieces a caller gets joined.
    """

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        self._ids = None if lexicon.ids is None else Finder(lexicon.ids)
        self._all, self._answer = (
            None if lexicon.text is None else Finder(lexicon.text) for _ in range(2)
        )
        self._closer: int | None = None

    def push(self, id: int, place: int) -> int | None:
        """Go on by one token; where the forbidden word began that ends in it, None: there is
        none."""
        self._turn(id)
        first = None
        if self._ids is not None and (length := self._ids.push(id, place)):
            first = self._ids.origin(length)
        if self._all is None or self._answer is None:
            return first
        finders = [self._all] if self._closer is not None else [self._all, self._answer]
        for byte in self._lexicon.read(id):
            for finder in finders:
                if (length := finder.push(byte, place)) and first is None:
                    first = finder.origin(length)
        return first

    def _turn(self, id: int) -> None:
        if id == self._closer:
            self._closer = None
        elif id in self._lexicon.asides:
            self._closer = self._lexicon.asides[id]

    def fork(self) -> Search:
        """One that goes on from here on its own."""
        other = copy(self)
        for name in ("_ids", "_all", "_answer"):
            finder = getattr(self, name)
            setattr(other, name, None if finder is None else finder.fork())
        return other


class Forbidden:
    """Follows an answer and finds forbidden words on its next canvas. Mutable.

    `limit` is the longest answer in tokens and `ends` the closing ones: what follows is cut off.
    """

    def __init__(self, lexicon: Lexicon, *, ends: frozenset[int], limit: int) -> None:
        self._search, self._ends, self._room = Search(lexicon), ends, limit

    def find(self, ids: Sequence[int]) -> Hit | None:
        """The forbidden word that ends first, should the answer go on with `ids`."""
        search = self._search.fork()
        for place, id in enumerate(ids[: self._room]):
            first = search.push(id, place)
            if first is not None:
                return Hit(first, place)
            if id in self._ends:
                return None
        return None

    def commit(self, ids: Sequence[int]) -> None:
        """The answer has these tokens more."""
        self._room -= len(ids)
        for id in ids:
            self._search.push(id, -1)
