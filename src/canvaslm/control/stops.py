"""Stop strings: found wherever they end, and never let out, not even in part."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

from canvaslm.control.words import Finder, Words


class StopSearch:
    """Reads text in pieces of any size and gives it back up to the first stop string.

    The string that ends first stops the text, and of several that end together the longest; so the
    cut does not depend on how the text comes in pieces. What may be the beginning of a stop string
    is held back until it is known.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._finder = Finder(Words([[ord(letter) for letter in stop] for stop in stops]))
        self._held = ""
        self.found: str | None = None
        self.origin: int | None = None

    def push(self, text: str, *, origin: int) -> str:
        """The text that may leave now. After a match, `found` is the stop string and `origin` that
        of its first character; nothing leaves any more."""
        if self.found is not None:
            return ""
        for place, letter in enumerate(text):
            length = self._finder.push(ord(letter), origin)
            if length:
                read = self._held + text[: place + 1]
                self.found, self.origin = read[-length:], self._finder.origin(length)
                self._held = ""
                return read[:-length]
        read = self._held + text
        cut = len(read) - self._finder.pending
        self._held = read[cut:]
        return read[:cut]

    def flush(self) -> str:
        """What is held back, when no more text comes."""
        held, self._held = self._held, ""
        return held

    def fork(self) -> StopSearch:
        """One that goes on from here on its own."""
        other = copy(self)
        other._finder = self._finder.fork()
        return other
