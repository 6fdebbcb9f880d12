"""Token healing: a gap that opens inside a word is written together with the word's two ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from canvaslm.control.edges import Edges
from canvaslm.text.tokenizer import Tokenizer

# V vocabulary


@dataclass(frozen=True, kw_only=True)
class Seams:
    """The last token before a gap and the first after it, as text; "" where that side stays.

    A document that is cut inside a word leaves pieces which no text is made of: of `retu|rn x`
    neither half is a token that a model would write. So the gap is opened by one token more on
    each side, what is written must begin with `stem` and end with `tail`, and both are taken off
    again. Its first token begins with the stem, and may go on: `return`; its last ends with the
    tail.
    """

    stem: str = ""
    tail: str = ""

    @property
    def tokens(self) -> int:
        """By how many tokens the gap becomes longer."""
        return bool(self.stem) + bool(self.tail)

    def rule(self, tokenizer: Tokenizer, *, size: int, vocab_size: int) -> Edges | None:
        """What a text of `size` tokens may begin and end with. None: nothing of that size can."""
        spelled = spell(tokenizer, vocab_size)
        stem, tail = self.stem.encode(), self.tail.encode()
        if size == 1:
            whole = len(stem) + len(tail)
            first = mark(
                word.startswith(stem) and word.endswith(tail) and len(word) >= whole
                for word in spelled
            )
            return Edges(size=1, first=first, last=None) if first.any() else None
        return Edges(
            size=size,
            first=mark(word.startswith(stem) for word in spelled) if stem else None,
            last=mark(word.endswith(tail) for word in spelled) if tail else None,
        )

    def strip(self, written: bytes) -> bytes:
        """What was written without stem and tail, which it begins and ends with."""
        stem, tail = self.stem.encode(), self.tail.encode()
        return written[len(stem) : len(written) - len(tail)]


NONE = Seams()


def find_seams(prefix: str, suffix: str, tokenizer: Tokenizer) -> Seams:
    """The seams to heal: on each side where a word is, and its token is of whole characters."""
    stem = tail = ""
    if prefix and in_word(prefix[-1]):
        stem = whole(tokenizer.token_bytes(tokenizer.encode(prefix, special=False)[-1]))
    if suffix and in_word(suffix[0]):
        tail = whole(tokenizer.token_bytes(tokenizer.encode(suffix, special=False)[0]))
    return Seams(
        stem=stem if prefix.endswith(stem) else "", tail=tail if suffix.startswith(tail) else ""
    )


def in_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def whole(piece: bytes) -> str:
    """The text of a token; "" where it is a part of a character."""
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return ""


@lru_cache(maxsize=4)
def spell(tokenizer: Tokenizer, vocab_size: int) -> tuple[bytes, ...]:
    """The bytes of every token; b"" of those that write nothing."""
    known = min(tokenizer.vocab_size, vocab_size)
    words = [
        b"" if id in tokenizer.special_ids else tokenizer.token_bytes(id) for id in range(known)
    ]
    return tuple(words + [b""] * (vocab_size - known))


def mark(values: Iterable[bool]) -> Tensor:
    return torch.tensor(list(values))
