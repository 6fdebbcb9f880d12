"""A prompt, encoded: where an answer starts from, and what several answers to it share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from canvaslm.cache.known import Trail
from canvaslm.cache.pages import Pool, Prefix
from canvaslm.engine.encode import extend_all
from canvaslm.engine.scoring.causal import follow
from canvaslm.engine.scoring.token import Picked
from canvaslm.model.network import Network

# D hidden


@dataclass(frozen=True, kw_only=True, eq=False)
class Opening:
    """A prefix that belongs to whoever opened it; `last` is the hidden state of its last token [D],
    None of an empty prompt, `scored` what its tokens after the first were given, where asked, and
    `cached` how many of them were known before."""

    prefix: Prefix
    last: Tensor | None = None
    scored: Picked | None = None
    cached: int = 0

    def fork(self) -> Opening:
        """Another one, over the same pages."""
        return replace(self, prefix=self.prefix.fork())


def encode_prompt(model: Network, pool: Pool, ids: Sequence[int], *, top: int | None) -> Opening:
    """Encode `ids`; with `top` their log-probabilities, too, each beside so many likeliest.

    What the pool knows of them is not encoded again, except with `top`, which needs the hidden
    states of all. What is new is known from now on, piece by piece.
    """
    trail = find(model, pool, ids, whole=top is not None)
    prefix = Prefix(pool) if trail is None else trail.prefix
    cached = prefix.length
    try:
        pieces = extend_all(model, prefix, ids[cached:], trail=trail)
        if top is not None and ids:
            scored, last_D = follow(model, pieces, ids, top=top)
            return Opening(prefix=prefix, last=last_D, scored=scored)
        last = None
        for piece_1ND in pieces:
            last = piece_1ND[0, -1]
        return Opening(prefix=prefix, last=last, cached=cached)
    except BaseException:
        prefix.free()
        raise


def find(model: Network, pool: Pool, ids: Sequence[int], *, whole: bool) -> Trail | None:
    """Where to encode a prompt from: its start if `whole`. None: the pool keeps nothing."""
    if pool.known is None:
        return None
    known, writer = pool.known, model.writer
    return known.start(writer=writer) if whole else known.find(ids, writer=writer)


class SharedPrompt:
    """The prompt of `answers` requests, encoded once, when the first of them opens it. Free it."""

    def __init__(self, answers: int) -> None:
        self._left = answers
        self._opening: Opening | None = None

    def open(self, model: Network, pool: Pool, ids: Sequence[int], *, top: int | None) -> Opening:
        """An opening for the next request; the last one gets the pages themselves."""
        opening = self._opening or encode_prompt(model, pool, ids, top=top)
        self._left -= 1
        self._opening = opening if self._left else None
        return opening.fork() if self._left else opening

    def free(self) -> None:
        """Give the pages back that no request has been given."""
        if self._opening is not None:
            self._opening.prefix.free()
            self._opening = None
