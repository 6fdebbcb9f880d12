"""A passage: a prompt and what follows it, in tokens; of its canvases one is learnt at a time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from canvaslm.text.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Passage:
    """`answer` holds its end token, unless it is cut out of a text that goes on: `whole` False.

    Of such a text only canvases that it fills are learnt, and what lies more than `reach` canvases
    back is out of sight; an answer is seen from its prompt on.
    """

    prompt: Sequence[int]
    answer: Sequence[int]
    whole: bool = True
    rolling: bool = False

    def canvases(self, length: int) -> int:
        """How many canvases of `length` tokens there are to learn."""
        full, rest = divmod(len(self.answer), length)
        return full + 1 if rest and (self.whole or not full) else full


@dataclass(frozen=True, kw_only=True)
class Case:
    """One canvas to learn: the tokens before it, and its clean tokens up to the end token."""

    prefix: Sequence[int]
    clean: Sequence[int]

    def __len__(self) -> int:
        return len(self.prefix) + len(self.clean)


def choose(passages: Sequence[Passage], rng: random.Random, *, length: int, most: int) -> Case:
    """One canvas of all passages, each equally likely, over its prompt and the canvases before.

    A rolling text shows the `most - 1` canvases before it.
    """
    places = [(passage, n) for passage in passages for n in range(passage.canvases(length))]
    passage, number = rng.choice(places)
    first = max(0, number + 1 - most) * length if passage.rolling else 0
    return Case(
        prefix=[*passage.prompt, *passage.answer[first : number * length]],
        clean=passage.answer[number * length : (number + 1) * length],
    )


class Opened(Protocol):
    """A source, opened: examples by index, each read when it is asked for."""

    @property
    def fingerprint(self) -> str: ...

    def __len__(self) -> int: ...

    def where(self, index: int) -> str:
        """Where the example stands, for messages."""
        ...

    def passages(self, index: int, tokenizer: Tokenizer, rng: random.Random) -> list[Passage]:
        """The example's passages. Raises TrainingError, naming the place, if it has none."""
        ...


class Source(Protocol):
    """Names data; opening it finds its examples."""

    def open(self) -> Opened:
        """Raises TrainingError if it cannot be read or holds nothing."""
        ...
