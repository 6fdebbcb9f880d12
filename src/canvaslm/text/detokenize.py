"""Token ids to text as they arrive, never half a character."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from typing import Protocol


class Vocabulary(Protocol):
    """What a stream asks of a tokenizer."""

    def text_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of `ids` without control tokens."""
        ...


class Stream:
    """Turns ids that come in pieces into text, in time linear in their number.

    Everything `push` and `flush` return, joined, is `tokenizer.decode` of all ids. A character
    whose bytes lie in several tokens is held back until it is whole; U+FFFD appears only for bytes
    that cannot become one.
    """

    def __init__(self, tokenizer: Vocabulary) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, ids: Iterable[int]) -> str:
        """The text that `ids` complete; "" while a character is still open."""
        return self._decoder.decode(self._tokenizer.text_bytes(ids))

    def flush(self) -> str:
        """What is left of an unfinished character, as U+FFFD. The stream may be used again."""
        left = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return left
