"""Keeps control strings that a person typed from becoming control tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable

_ESCAPE = "\ufdd0"  # a noncharacter; one that the user wrote is escaped too, so nothing is lost
_BREAK = _ESCAPE + "\ufdd1"
_SELF = _ESCAPE + "\ufdd2"


class Guard:
    """Breaks control strings with a mark before a template sees them; takes the marks out after.

    A template pours what the user wrote and its own control strings into one text. With a mark in
    each control string of the user's, only the template's are whole when the text is cut at them.
    """

    def __init__(self, controls: Iterable[str], *, keep: Iterable[str] = ()) -> None:
        """Guard against `controls`; those in `keep` may be let through by `protect`."""
        longest_first = sorted(controls, key=len, reverse=True)
        kept = [control for control in longest_first if control in frozenset(keep)]
        self._controls = _any_of(longest_first)
        self._kept = _any_of(kept)
        self._starts = tuple({c[:n] for c in longest_first for n in range(1, len(c))})

    def protect(self, text: str, *, keep: bool = False) -> str:
        """`text` with its control strings broken; with `keep`, save those the guard lets through.

        Templates cut the let-through ones out, so what lies between them is broken piece by piece.
        """
        text = text.replace(_ESCAPE, _SELF)
        if not keep:
            return self._break(text)
        pieces = self._kept.split(text)
        return "".join(p if n % 2 else self._break(p) for n, p in enumerate(pieces))

    def _break(self, text: str) -> str:
        text = self._controls.sub(lambda match: match[0][0] + _BREAK + match[0][1:], text)
        # The template may put a text that holds the rest right behind one that ends in a beginning.
        body = text.rstrip()
        return body + _BREAK + text[len(body) :] if body.endswith(self._starts) else text

    def protected(self, text: str) -> bool:
        """Whether there is a mark in `text`."""
        return _ESCAPE in text

    def cut(self, text: str) -> list[tuple[str, bool]]:
        """`text` cut into (piece, is a control string), in order and without marks."""
        pieces = enumerate(self._controls.split(text))
        return [
            (piece.replace(_BREAK, "").replace(_SELF, _ESCAPE), n % 2 == 1)
            for n, piece in pieces
            if piece
        ]


def _any_of(strings: list[str]) -> re.Pattern[str]:
    return re.compile(f"({'|'.join(map(re.escape, strings)) or '(?!)'})")
